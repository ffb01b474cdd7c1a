//! Kubernetes quantities (`500m`, `2Gi`) as numbers. Pure.

/// The quantity in thousandths; `None` when it is not one.
pub fn millis(quantity: &str) -> Option<i128> {
    let split = quantity.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(split);
    let scale: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000i128.pow(2),
        "G" => 1000 * 1000i128.pow(3),
        "T" => 1000 * 1000i128.pow(4),
        "P" => 1000 * 1000i128.pow(5),
        "E" => 1000 * 1000i128.pow(6),
        "Ki" => 1000 * 1024,
        "Mi" => 1000 * 1024i128.pow(2),
        "Gi" => 1000 * 1024i128.pow(3),
        "Ti" => 1000 * 1024i128.pow(4),
        "Pi" => 1000 * 1024i128.pow(5),
        "Ei" => 1000 * 1024i128.pow(6),
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || fraction.len() > 9 || whole.len() > 18 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * scale + part * scale / 10i128.pow(u32::try_from(fraction.len()).ok()?))
}

/// A quantity divided and rounded up, as a container sees its own limits.
pub fn divided(quantity: i128, divisor: i128) -> i128 {
    if divisor <= 0 { 0 } else { (quantity + divisor - 1) / divisor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_in_every_unit() {
        let table = [
            ("1", Some(1000)),
            ("500m", Some(500)),
            ("1.5", Some(1500)),
            ("2Ki", Some(2_048_000)),
            ("0.5Gi", Some(536_870_912_000)),
            ("1G", Some(1_000_000_000_000)),
            ("", None),
            ("x", None),
            ("1.2.3", None),
            ("1Xi", None),
        ];
        for (text, expected) in table {
            assert_eq!(millis(text), expected, "{text}");
        }
        assert_eq!(divided(1500, 1000), 2);
    }
}
