//! Durations as people write them: `10m`, `3h`, `1h30m`. One word, whole seconds.

use std::time::Duration;

use super::{
    Mistake,
    mistake::{Parsed, Word},
};

/// What durations are made of. Weeks, months and years are read, but a day is the longest that has one length for all.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// The canonical text of a duration, down to seconds.
pub fn write(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    for (unit, secs) in UNITS {
        if rest >= secs {
            text += &(rest / secs).to_string();
            text += unit;
            rest %= secs;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, Mistake> {
    read(Word::whole(text)).map_err(|fault| fault.within(text))
}

pub(crate) fn read(word: Word<'_>) -> Parsed<Duration> {
    let example = "write a number with its unit, as in `30s`, `10m`, `3h`, `7d`";
    let duration = humantime::parse_duration(word.text)
        .map_err(|_| word.fault(format!("`{}` is not a duration", word.text)).hint(example))?;
    if duration.is_zero() {
        return Err(word.fault("a duration is longer than nothing").hint(example));
    }
    if duration.subsec_nanos() != 0 {
        return Err(word.fault(format!("`{}` is not a whole number of seconds", word.text)).hint(example));
    }
    Ok(duration)
}

/// For `#[serde(with = "…")]`.
pub(crate) mod text {
    use std::{borrow::Cow, time::Duration};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Word;

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::write(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        super::read(Word::whole(&text)).map_err(|fault| D::Error::custom(fault.problem))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for wrong in ["", "3", "h", "0s", "500ms", "1.5s", "-1s", "9999999999999999999y"] {
            assert!(read(Word::whole(wrong)).is_err(), "{wrong:?} must be refused");
        }
    }

    #[test]
    fn nothing_is_longer_than_days() {
        for (secs, text) in [(90, "1m30s"), (31 * 86_400, "31d"), (400 * 86_400 + 3_600, "400d1h"), (0, "0s")] {
            assert_eq!(write(Duration::from_secs(secs)), text);
        }
    }

    proptest! {
        #[test]
        fn text_and_value_are_inverse(secs in 1..u64::from(u32::MAX)) {
            let duration = Duration::from_secs(secs);
            prop_assert_eq!(read(Word::whole(&write(duration))).unwrap(), duration);
        }
    }
}
