//! Charts as SVG, drawn here: no script, no colour that says something alone,
//! and a text for those who do not see them.

use maud::{Markup, html};

/// One bar: what it is about, and how much of each sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    /// What stands under it.
    pub(super) label: String,
    /// Held back.
    pub(super) withheld: i64,
    /// Would have been held back.
    pub(super) would_withhold: i64,
    /// Let through.
    pub(super) let_through: i64,
}

impl Bar {
    const fn sum(&self) -> i64 {
        self.withheld.saturating_add(self.would_withhold).saturating_add(self.let_through)
    }

    fn said(&self) -> String {
        let mut said = format!("{}: {} held back", self.label, self.withheld);
        if self.would_withhold > 0 {
            said.push_str(&format!(", {} would have been", self.would_withhold));
        }
        format!("{said}, {} let through", self.let_through)
    }
}

const WIDTH: i64 = 960;
const HEIGHT: i64 = 240;
const LEFT: i64 = 64;
const TOP: i64 = 12;
const BOTTOM: i64 = 32;

/// Standing bars over time, each stacked: held back below, let through above.
/// `title` names the chart; what it shows is in `desc` and on each bar.
pub(super) fn over_time(title: &str, bars: &[Bar]) -> Markup {
    let bars = joined(bars);
    let most = round_up(bars.iter().map(Bar::sum).max().unwrap_or(0));
    let room = HEIGHT - TOP - BOTTOM;
    let step = (WIDTH - LEFT) / i64::try_from(bars.len()).unwrap_or(1).max(1);
    let width = (step * 3 / 4).max(1);
    let tall = |value: i64| scaled(value, room, most);
    let every = (bars.len() / 12).max(1);
    let busiest = bars.iter().max_by_key(|bar| bar.sum());
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-labelledby="chart-title chart-desc" {
            title #chart-title { (title) }
            desc #chart-desc {
                @if let Some(busiest) = busiest { "Busiest: " (busiest.said()) ". " }
                "The table below has every figure."
            }
            @for part in 0..=4_i64 {
                @let y = TOP + room - room * part / 4;
                line.grid x1=(LEFT) x2=(WIDTH) y1=(y) y2=(y) {}
                text x=(LEFT - 8) y=(y + 4) text-anchor="end" { (short(most * part / 4)) }
            }
            @for (index, bar) in bars.iter().enumerate() {
                @let x = LEFT + step * i64::try_from(index).unwrap_or(0) + (step - width) / 2;
                @let (held, would, passed) = (tall(bar.withheld), tall(bar.would_withhold), tall(bar.let_through));
                g {
                    title { (bar.said()) }
                    rect.bar-block x=(x) width=(width) y=(TOP + room - held) height=(held) {}
                    rect.bar-other x=(x) width=(width) y=(TOP + room - held - would) height=(would) {}
                    rect.bar-allow x=(x) width=(width) y=(TOP + room - held - would - passed) height=(passed) {}
                }
                @if index.is_multiple_of(every) {
                    text x=(x + width / 2) y=(HEIGHT - 10) text-anchor="middle" { (bar.label) }
                }
            }
            line.axis x1=(LEFT) x2=(WIDTH) y1=(TOP + room) y2=(TOP + room) {}
        }
        (legend(bars.iter().any(|bar| bar.would_withhold > 0)))
    }
}

/// A lying bar for a row of a table; the figures stand beside it.
pub(super) fn in_row(bar: &Bar, most: i64) -> Markup {
    const WIDE: i64 = 200;
    let long = |value: i64| scaled(value, WIDE, most.max(1));
    let (held, would, passed) =
        (long(bar.withheld), long(bar.would_withhold), long(bar.let_through));
    html! {
        svg width=(WIDE) height="14" viewBox=(format!("0 0 {WIDE} 14")) role="img" aria-label=(bar.said()) {
            rect.bar-block x="0" y="1" width=(held) height="12" {}
            rect.bar-other x=(held) y="1" width=(would) height="12" {}
            rect.bar-allow x=(held + would) y="1" width=(passed) height="12" {}
        }
    }
}

fn legend(observed: bool) -> Markup {
    let key = |class: &str, words: &str| {
        html! {
            svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true" { rect class=(class) width="14" height="14" {} }
            " " (words) " "
        }
    };
    html! {
        p.quiet {
            (key("bar-block", "held back"))
            @if observed { (key("bar-other", "would have been held back")) }
            (key("bar-allow", "let through"))
        }
    }
}

/// At most so many bars can be told apart.
const MOST_BARS: usize = 120;

/// Several bars as one where there are too many.
fn joined(bars: &[Bar]) -> Vec<Bar> {
    let together = bars.len().div_ceil(MOST_BARS).max(1);
    bars.chunks(together)
        .map(|some| Bar {
            label: some.first().map(|bar| bar.label.clone()).unwrap_or_default(),
            withheld: some.iter().map(|bar| bar.withheld).sum(),
            would_withhold: some.iter().map(|bar| bar.would_withhold).sum(),
            let_through: some.iter().map(|bar| bar.let_through).sum(),
        })
        .collect()
}

/// A length in proportion; what is not nothing can be seen.
fn scaled(value: i64, room: i64, most: i64) -> i64 {
    if value <= 0 {
        return 0;
    }
    let long = i128::from(value) * i128::from(room) / i128::from(most.max(1));
    i64::try_from(long).unwrap_or(room).clamp(1, room)
}

/// The next number that is easy to read on an axis of four parts.
fn round_up(most: i64) -> i64 {
    let mut step = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let top = step.saturating_mul(factor).saturating_mul(4);
            if top >= most || top == i64::MAX {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// A number on an axis: `1.5 M`.
fn short(number: i64) -> String {
    let tenths = |unit: i64, name: &str| {
        let (whole, tenth) = (number / unit, number % unit * 10 / unit);
        if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
    };
    match number {
        1_000_000_000.. => tenths(1_000_000_000, "G"),
        1_000_000.. => tenths(1_000_000, "M"),
        10_000.. => tenths(1_000, "k"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, withheld: i64, let_through: i64) -> Bar {
        Bar { label: label.into(), withheld, would_withhold: 0, let_through }
    }

    #[test]
    fn g5_a_chart_says_in_words_what_it_shows() {
        let bars = [bar("Mon", 10, 1), bar("Tue", 3, 0)];
        let drawn = over_time("By day", &bars).into_string();
        assert!(drawn.contains("<title>Mon: 10 held back, 1 let through</title>"), "{drawn}");
        assert!(drawn.contains("Busiest: Mon: 10 held back, 1 let through."), "{drawn}");
        assert!(drawn.contains("role=\"img\"") && !drawn.contains("style="));
        let hostile = over_time("<script>", &[bar("\"><script>", 1, 1)]).into_string();
        assert!(!hostile.contains("<script>"), "{hostile}");
    }

    #[test]
    fn nothing_leaves_its_room_whatever_the_figures() {
        for value in [0, 1, 7, 1000, i64::MAX / 4] {
            let most = round_up(value);
            assert!(most >= value, "{value}");
            assert!((0..=196).contains(&scaled(value, 196, most)));
        }
        assert_eq!(scaled(1, 196, 1_000_000), 1, "the few can be seen");
        let many: Vec<_> = (0..3000).map(|n| bar(&n.to_string(), n, n)).collect();
        let joined = joined(&many);
        assert!(joined.len() <= 120);
        let sum = |bars: &[Bar]| bars.iter().map(Bar::sum).sum::<i64>();
        assert_eq!(sum(&joined), sum(&many));
        assert!(over_time("None", &[]).into_string().contains("</svg>"));
        assert_eq!(
            ["0", "9999", "12.3 k", "2 M"],
            [0, 9999, 12_345, 2_000_000].map(short).each_ref().map(String::as_str)
        );
    }
}
