//! Rules `on` an interface that foobar is not attached to: no packet comes in there that they could match.

use std::collections::BTreeSet;

use super::Config;
use crate::domain::{Rule, mistake::nearest};

/// Sentences that are said: one that lists many interfaces is probably for another machine.
const SAID: usize = 100;

impl Config {
    /// A sentence for each rule and name, while they are few.
    pub(super) fn unattached(&self) -> Vec<String> {
        let attached: BTreeSet<_> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let named = self.firewall.rules.iter().flat_map(|rule| rule.on.iter().map(move |name| (rule, name)));
        let mut missing = named.filter(|(_, name)| !attached.contains(name.as_str()));
        let warning = |(rule, name): (&Rule, &String)| {
            let next = nearest(name, attached.iter().copied()).map_or_else(
                || format!("`foobar attach {name}`, or name it among the file's interfaces"),
                |near| format!("did you mean `{near}`?"),
            );
            format!("`{}` matches nothing on {name}: foobar is not attached to it; {next}", rule.in_short())
        };
        let mut warnings: Vec<_> = missing.by_ref().take(SAID).map(warning).collect();
        let more = missing.count();
        if more > 0 {
            warnings.push(format!("rules name interfaces that foobar is not attached to {more} times more"));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    #[test]
    fn a_rule_on_an_interface_that_is_not_attached_is_warned_of() {
        let text = "interfaces = [\"eth0\", \"wan\"]\n\
                    [firewall]\ndefault = \"pass\"\nrules = [\"deny tcp/25 on eth0,wan\", \"deny udp on eht0\", \"deny udp on lan\"]\n";
        let warnings = Config::parse(text, "foobar.toml").expect("a valid file").warnings();
        let wanted = [
            "`deny udp on eht0` matches nothing on eht0: foobar is not attached to it; did you mean `eth0`?",
            "`deny udp on lan` matches nothing on lan: foobar is not attached to it; did you mean `wan`?",
        ];
        assert_eq!(warnings, wanted);
    }

    #[test]
    fn a_file_for_another_machine_is_not_answered_by_a_book() {
        let rules: Vec<_> = (0..70).map(|n| format!("deny udp/{} on a,b,c", n + 1)).collect();
        let text = format!("[firewall]\nrules = {rules:?}\n");
        let warnings = Config::parse(&text, "foobar.toml").expect("a valid file").warnings();
        let missing: Vec<_> = warnings.iter().filter(|warning| warning.contains("is not attached to")).collect();
        assert_eq!(missing.len(), 101);
        assert_eq!(missing[100], "rules name interfaces that foobar is not attached to 110 times more");
    }
}
