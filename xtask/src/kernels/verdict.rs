//! What a kernel's run printed, read: `kernel: …` lines and the test harness's summaries.

/// One kernel's row.
#[derive(Debug, Default)]
pub struct Verdict {
    pub release: String,
    /// Program, verified instructions, stack depth.
    pub programs: Vec<[String; 3]>,
    pub passed: u32,
    pub failed: u32,
    pub failures: Vec<String>,
    pub xdp: String,
    pub egress: String,
    /// What foobar said when it refused to start.
    pub refusal: Option<String>,
    expects_refusal: bool,
    suites: [u32; 2],
    done: bool,
    troubles: Vec<String>,
}

impl Verdict {
    /// Reads what was printed; `log` is where a reader finds it.
    pub fn of(printed: &str, log: &str) -> Self {
        let mut verdict = Self::default();
        for line in printed.lines().map(|line| line.trim_end_matches('\r')) {
            if let Some((_, fact)) = line.split_once("kernel: ") {
                verdict.fact(&fact.split_whitespace().collect::<Vec<_>>());
            } else if let Some(summary) = line.strip_prefix("test result: ") {
                verdict.passed += before(summary, " passed");
                verdict.failed += before(summary, " failed");
            } else if let Some(name) = line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED")) {
                verdict.failures.push(name.to_owned());
            }
        }
        if verdict.failed > 0 || verdict.suites[0] != verdict.suites[1] {
            verdict.troubles.push(format!("read {log}"));
        }
        verdict
    }

    pub fn broken(why: &str) -> Self {
        Self { troubles: vec![why.to_owned()], ..Self::default() }
    }

    pub fn with(mut self, trouble: &str) -> Self {
        self.troubles.push(trouble.to_owned());
        self
    }

    fn fact(&mut self, words: &[&str]) {
        match words {
            ["release", release] => (*release).clone_into(&mut self.release),
            ["program", name, "verified", verified, "stack", stack] => {
                self.programs.push([name, verified, stack].map(|word| (*word).to_owned()));
            }
            ["xdp", how] => (*how).clone_into(&mut self.xdp),
            ["egress", how] => (*how).clone_into(&mut self.egress),
            ["suite", _] => self.suites[0] += 1,
            ["ended", _, "0"] => self.suites[1] += 1,
            ["ended", suite, code] => self.troubles.push(format!("{suite} ended with {code}")),
            ["said", "error:", sentence @ ..] => self.refusal = Some(sentence.join(" ")),
            ["module", rest @ ..] => self.troubles.push(rest.join(" ")),
            ["done"] => self.done = true,
            _ => {}
        }
    }

    pub fn expect_refusal(&mut self, expected: bool) {
        self.expects_refusal = expected;
    }

    /// Whether the run came to its last line.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Whether everything is as it should be on this kernel.
    pub fn holds(&self) -> bool {
        let as_expected = if self.expects_refusal {
            self.refusal.as_ref().is_some_and(|said| said.contains("foobar needs Linux"))
        } else {
            self.refusal.is_none() && self.passed > 0 && self.failed == 0 && !self.programs.is_empty()
        };
        self.done && as_expected && self.troubles.is_empty()
    }

    /// What a reader of the matrix has to know besides.
    pub fn notes(&self) -> Vec<String> {
        let refusal = self.refusal.iter().map(|said| format!("refused: {said}"));
        let failures = self.failures.iter().map(|name| format!("failed: {name}"));
        refusal.chain(failures).chain(self.troubles.iter().cloned()).collect()
    }
}

/// The number before a word, as in `ok. 12 passed; 0 failed`.
fn before(summary: &str, word: &str) -> u32 {
    let number = summary.split_once(word).and_then(|(front, _)| front.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    const GOOD: &str = "kernel: release 6.1.0\nkernel: starts\nkernel: suite kernel\n\
        kernel: program foobar verified 340000 stack 456\nkernel: xdp native\nkernel: egress clsact\n\
        test result: ok. 3 passed; 0 failed; 0 ignored\nkernel: ended kernel 0\nkernel: done\n";

    #[test]
    fn a_run_is_read() {
        let verdict = Verdict::of(GOOD, "log");

        assert!(verdict.holds(), "{verdict:?}");
        assert_eq!(verdict.programs, [["foobar", "340000", "456"]]);
        assert_eq!((verdict.passed, verdict.xdp.as_str(), verdict.egress.as_str()), (3, "native", "clsact"));
    }

    #[test]
    fn what_fails_or_is_cut_off_does_not_hold() {
        let failed = GOOD.replace("ok. 3 passed; 0 failed", "FAILED. 2 passed; 1 failed");
        for printed in [&failed, &GOOD.replace("kernel: done", ""), &GOOD.replace("ended kernel 0", "ended kernel 101")]
        {
            assert!(!Verdict::of(printed, "log").holds(), "{printed}");
        }
        assert_eq!(Verdict::of("test rules::a ... FAILED", "log").failures, ["rules::a"]);
    }

    #[test]
    fn an_old_kernel_has_to_be_refused_in_words() {
        let said = "kernel: refused with 1\nkernel: said error: this kernel is 5.10: foobar needs Linux 6.1 or newer\n\
                    kernel: said hint: boot a newer kernel\nkernel: done\n";
        let mut verdict = Verdict::of(said, "log");
        assert!(!verdict.holds());
        verdict.expect_refusal(true);
        assert!(verdict.holds());
        let mut starts = Verdict::of(GOOD, "log");
        starts.expect_refusal(true);
        assert!(!starts.holds());
    }
}
