//! Instants on the wire, `2026-11-22T01:15:00.000Z`, as numbers.

/// Milliseconds since 1970.
pub(super) fn millis(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let ms = if text.get(19..20) == Some(".") { number(20, 23)? } else { 0 };
    // Years that begin in March end with the leap day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    let days = year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_across_leap_days() {
        assert_eq!(millis("1970-01-01T00:00:00.000Z"), Some(0));
        assert_eq!(millis("2000-02-29T23:59:59.999Z"), Some(951_868_799_999));
        assert_eq!(millis("2026-11-22T01:15:00.250Z"), Some(1_795_310_100_250));
        assert_eq!(millis("soon"), None);
    }
}
