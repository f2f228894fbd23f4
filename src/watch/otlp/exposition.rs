//! Reads our own metrics, in the text that Prometheus gets: there is one place
//! that counts, and this is what it says.

/// One metric with everything that was counted of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Family<'t> {
    pub(super) name: &'t str,
    pub(super) help: &'t str,
    pub(super) kind: &'t str,
    pub(super) samples: Vec<Sample<'t>>,
}

/// One figure.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'t> {
    /// What follows the metric's own name: `_total`, `_bucket`, `_sum`.
    pub(super) suffix: &'t str,
    pub(super) labels: Vec<(&'t str, String)>,
    pub(super) value: f64,
}

/// All metrics in an exposition in the OpenMetrics text format. A line that is
/// none of it is passed over.
pub(super) fn read(text: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            let mut words = said.splitn(3, ' ');
            let (Some(what), Some(name)) = (words.next(), words.next()) else { continue };
            let rest = words.next().unwrap_or_default();
            if families.last().is_none_or(|family| family.name != name) {
                families.push(Family { name, ..Family::default() });
            }
            match (what, families.last_mut()) {
                ("HELP", Some(family)) => family.help = rest.trim_end_matches('.'),
                ("TYPE", Some(family)) => family.kind = rest,
                _ => {}
            }
        } else if let Some(family) = families.last_mut()
            && let Some(sample) = line.strip_prefix(family.name).and_then(sample)
        {
            family.samples.push(sample);
        }
    }
    families
}

/// What stands behind a metric's name: a suffix, labels in braces, a value.
fn sample(text: &str) -> Option<Sample<'_>> {
    let (suffix, mut rest) = text.split_at_checked(text.find(['{', ' '])?)?;
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            rest = rest.trim_start_matches(',');
            let (name, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((name, value));
            rest = after;
        }
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { suffix, labels, value })
}

/// A label's value up to its closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_metrics_are_read_as_they_are_written() {
        let text = "# HELP a Things that\nno metric.\n# TYPE a counter\na_total{x=\"1\",y=\"q\\\"\\\\\\n}\"} 7\n\
            a_total 2\n# HELP b Time.\n# TYPE b histogram\n# UNIT b seconds\nb_sum 1.5\nb_bucket{le=\"0.1\"} 1\n\
            b_bucket{le=\"+Inf\"} 3\nb_count 3\nb_broken{le=\"0.1 4\n# TYPE c gauge\nc -1\n# EOF\n";
        let found = read(text);
        let names: Vec<_> =
            found.iter().map(|f| (f.name, f.kind, f.samples.len())).filter(|f| f.2 > 0).collect();
        assert_eq!(names, [("a", "counter", 2), ("b", "histogram", 4), ("c", "gauge", 1)]);
        let labels = vec![("x", "1".to_owned()), ("y", "q\"\\\n}".to_owned())];
        assert_eq!(found[0].samples[0], Sample { suffix: "_total", labels, value: 7.0 });
        assert_eq!((found[0].help, found[1].help), ("Things that", "Time"));
    }
}
