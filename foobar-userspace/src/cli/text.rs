//! Numbers as people read and write them.

use std::time::Duration;

/// A rate with three digits and a prefix: `950`, `12.3k`, `4.56M`.
pub fn rate(per_second: f64) -> String {
    let mut value = per_second;
    for prefix in ["", "k", "M", "G", "T"] {
        if value < 999.5 || prefix == "T" {
            let digits = if prefix.is_empty() || value >= 99.95 {
                0
            } else if value >= 9.995 {
                1
            } else {
                2
            };
            return format!("{value:.digits$}{prefix}");
        }
        value /= 1000.0;
    }
    format!("{value:.0}")
}

/// A count with its thousands apart: `1 234 567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The time between two looks: `1s`, `500ms`.
pub fn interval(text: &str) -> Result<Duration, String> {
    let interval =
        humantime::parse_duration(text).map_err(|_| "write a number with its unit, as in 500ms or 1s".to_owned())?;
    if interval < Duration::from_millis(100) || interval > Duration::from_hours(1) {
        return Err("the interval is between 100ms and 1h".to_owned());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.4, "0"),
            (950.0, "950"),
            (999.6, "1.00k"),
            (1234.0, "1.23k"),
            (12_345.0, "12.3k"),
            (123_456.0, "123k"),
            (4_560_000.0, "4.56M"),
            (9e15, "9000T"),
        ] {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(value), text);
        }
    }

    #[test]
    fn intervals_are_short_but_not_too_short() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        for wrong in ["", "1", "-1s", "0s", "50ms", "2h", "soon"] {
            interval(wrong).unwrap_err();
        }
    }
}
