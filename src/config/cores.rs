//! A list of cores as Linux writes it (`cpuset(7)`, "List format"): `0,2-3`.

/// Parses the cores that `text` names. They come in ascending order and without repetition.
///
/// # Errors
/// What is wrong with it, as the rule of a [`super::ConfigError::Value`].
pub fn parse_cores(text: &str) -> Result<Vec<u16>, String> {
    const FORM: &str = "must be core numbers and ranges, like 0,2-3";
    let mut cores = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u16>().map_err(|_| FORM.to_owned());
        let (low, high) = (number(low)?, number(high)?);
        if low > high {
            return Err(format!("the range {part} runs backwards: write {high}-{low}"));
        }
        cores.extend(low..=high);
    }
    cores.sort_unstable();
    cores.dedup();
    Ok(cores)
}

/// Writes `cores` in the same form, with ranges where numbers are consecutive.
pub(super) fn format_cores(cores: &[u16]) -> String {
    let mut parts: Vec<(u16, u16)> = Vec::new();
    for &core in cores {
        match parts.last_mut() {
            Some((_, high)) if *high + 1 == core => *high = core,
            _ => parts.push((core, core)),
        }
    }
    let parts: Vec<String> = parts
        .into_iter()
        .map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_and_repetitions_are_understood() {
        assert_eq!(parse_cores("0").unwrap(), [0]);
        assert_eq!(parse_cores("0,2-3").unwrap(), [0, 2, 3]);
        assert_eq!(parse_cores(" 3 , 1-2,2 ").unwrap(), [1, 2, 3]);
        for wrong in ["", "a", "1,", "-1", "1-", "0-1-2", "65536"] {
            assert!(parse_cores(wrong).unwrap_err().contains("0,2-3"), "{wrong:?}");
        }
        assert!(parse_cores("3-1").unwrap_err().contains("write 1-3"));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for list in ["0", "0,2-3", "1-4,9", "0-63"] {
            assert_eq!(format_cores(&parse_cores(list).unwrap()), list);
        }
    }
}
