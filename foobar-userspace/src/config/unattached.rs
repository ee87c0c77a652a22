//! Rules `on` an interface that foobar is not attached to: no packet comes in there that they could match.

use std::collections::BTreeSet;

use super::Config;
use crate::domain::mistake::nearest;

impl Config {
    /// A sentence for each rule and name.
    pub(super) fn unattached(&self) -> Vec<String> {
        let attached: BTreeSet<_> = self.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let mut warnings = Vec::new();
        for rule in &self.firewall.rules {
            for name in rule.on.iter().filter(|name| !attached.contains(name.as_str())) {
                let next = nearest(name, attached.iter().copied()).map_or_else(
                    || format!("`foobar attach {name}`, or name it among the file's interfaces"),
                    |near| format!("did you mean `{near}`?"),
                );
                warnings.push(format!("`{rule}` matches nothing on {name}: foobar is not attached to it; {next}"));
            }
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
}
