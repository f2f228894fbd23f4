//! What is seen in a terminal: the exchanges as they come, each with its
//! decisions, and keys to see the next page in another state.
//!
//! Whatever a site or a visitor wrote is escaped before it is drawn.

use super::answers::{self, change};
use super::bench::Bench;
use super::journal::{Seen, Verdicts};
use super::switch::Switch;
use crate::ledger::plain;
use crate::policy::Decision;
use crate::purpose::{Purpose, PurposeSet};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState, Wrap};
use ratatui::{DefaultTerminal, Frame};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a key may wait to be seen, and an exchange to be shown.
const TICK: Duration = Duration::from_millis(100);

/// From how many columns on there is room to say who the visitor is.
const WIDE: u16 = 90;

/// Shows what happens until `q` is pressed or `ended` is set.
pub(super) fn run(
    bench: Arc<Bench>,
    url: &str,
    note: String,
    ended: &AtomicBool,
) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let mut view = View { note, ..View::new(bench, url) };
    let shown = show(&mut terminal, &mut view, ended);
    ratatui::try_restore()?;
    shown
}

fn show(terminal: &mut DefaultTerminal, view: &mut View, ended: &AtomicBool) -> io::Result<()> {
    let mut drawn = None;
    while !view.is_over && !ended.load(Ordering::Relaxed) {
        let edition = view.bench.journal().edition;
        if drawn != Some(edition) {
            terminal.draw(|frame| view.draw(frame))?;
            drawn = Some(edition);
        }
        if event::poll(TICK)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    view.key(key, Path::new("."))
                }
                _ => {}
            }
            drawn = None;
        }
    }
    Ok(())
}

/// What is on the screen.
struct View {
    bench: Arc<Bench>,
    url: String,
    /// The exchange that is marked; the newest one without.
    marked: Option<u64>,
    /// Whether that one's decisions are shown, and from which line on.
    opened: Option<u16>,
    filter: String,
    is_typing: bool,
    note: String,
    is_over: bool,
}

impl View {
    fn new(bench: Arc<Bench>, url: &str) -> Self {
        Self {
            bench,
            url: url.to_owned(),
            marked: None,
            opened: None,
            filter: String::new(),
            is_typing: false,
            note: String::new(),
            is_over: false,
        }
    }

    /// The exchanges that the filter leaves, the newest first.
    fn shown(&self) -> Vec<Seen> {
        self.bench.journal().shown().filter(|seen| self.is_wanted(seen)).cloned().collect()
    }

    /// Whether every word of the filter is somewhere in it.
    fn is_wanted(&self, seen: &Seen) -> bool {
        let decisions = seen.verdicts.iter().flat_map(|verdicts| &verdicts.decisions);
        let decisions = decisions.map(|decision| {
            let vendor = decision.vendor.as_ref().map_or("", |vendor| vendor.name.as_str());
            format!("{} {} {vendor}", decision.verdict.word(), decision.what)
        });
        let status = seen.status.map(|status| status.to_string()).unwrap_or_default();
        let text = decisions
            .fold(format!("{} {} {status}", seen.method, seen.target), |text, decision| {
                format!("{text} {decision}")
            });
        let text = text.to_lowercase();
        self.filter.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    fn place(&self, shown: &[Seen]) -> usize {
        let marked = |seen: &Seen| Some(seen.number) == self.marked;
        shown.iter().position(marked).unwrap_or(0)
    }

    fn key(&mut self, key: KeyEvent, directory: &Path) {
        let is_interrupt =
            key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
        self.note.clear();
        if is_interrupt {
            self.is_over = true;
        } else if self.is_typing {
            self.typed(key.code);
        } else {
            self.pressed(key.code, directory);
        }
    }

    fn typed(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(char) => self.filter.push(char),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.filter.clear();
                self.is_typing = false;
            }
            _ => {}
        }
    }

    fn pressed(&mut self, key: KeyCode, directory: &Path) {
        match key {
            KeyCode::Char('q') => self.is_over = true,
            KeyCode::Esc if self.opened.is_some() => self.opened = None,
            KeyCode::Esc => {
                self.filter.clear();
                self.marked = None;
            }
            KeyCode::Enter if self.opened.is_none() => {
                let shown = self.shown();
                self.marked = shown.get(self.place(&shown)).map(|seen| seen.number);
                self.opened = self.marked.map(|_| 0);
            }
            KeyCode::Enter => self.opened = None,
            KeyCode::Up | KeyCode::Char('k') => self.moved(-1),
            KeyCode::Down | KeyCode::Char('j') => self.moved(1),
            KeyCode::PageUp => self.moved(-10),
            KeyCode::PageDown => self.moved(10),
            KeyCode::Char('/') => {
                (self.opened, self.is_typing) = (None, true);
                self.filter.clear();
            }
            KeyCode::Char('e') => self.note = self.export(directory),
            KeyCode::Char(letter) => self.switch(letter),
            _ => {}
        }
    }

    fn moved(&mut self, by: isize) {
        if let Some(line) = self.opened {
            let by = i16::try_from(by).unwrap_or(0);
            self.opened = Some(line.saturating_add_signed(by));
            return;
        }
        let shown = self.shown();
        let place = self.place(&shown).saturating_add_signed(by);
        let place = place.min(shown.len().saturating_sub(1));
        // At the top, the newest stays marked, whichever it is.
        self.marked = shown.get(place).filter(|_| place > 0).map(|seen| seen.number);
    }

    /// The next page that a browser asks for is seen in another state.
    fn switch(&mut self, letter: char) {
        let only = |purpose| Switch::Choice(PurposeSet::NECESSARY.with(purpose));
        let (switch, words) = match letter {
            'u' => (Switch::Undecided, "undecided"),
            'r' => (Switch::Choice(PurposeSet::NECESSARY), "everything refused"),
            'a' => (Switch::Choice(PurposeSet::ALL), "everything granted"),
            'g' => (Switch::Gpc, "with Global Privacy Control"),
            '1' => (only(Purpose::Functional), "functional granted"),
            '2' => (only(Purpose::Analytics), "analytics granted"),
            '3' => (only(Purpose::Personalization), "personalization granted"),
            '4' => (only(Purpose::Marketing), "marketing granted"),
            _ => return,
        };
        self.bench.switch_next(switch);
        self.note = format!("The next page: {words}. Reload it in the browser.");
    }

    /// Writes what is shown to a file of its own; says where.
    fn export(&self, directory: &Path) -> String {
        let shown = match self.opened {
            Some(_) => self.marked.and_then(|number| self.bench.journal().find(number).cloned()),
            None => None,
        };
        let shown = shown.map_or_else(|| self.shown(), |seen| vec![seen]);
        let all: Vec<_> = shown.iter().map(answers::exchange).collect();
        let text = json!({ "exchanges": all }).to_string();
        match write_new(directory, &text) {
            Ok(file) => format!("{} exchanges are in {}", all.len(), file.display()),
            Err(error) => format!("Not exported: {error}"),
        }
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = [Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)];
        let [head, middle, foot] = Layout::vertical(rows).areas(frame.area());
        let strong = Style::new().add_modifier(Modifier::BOLD);
        let title = Line::from(vec![
            Span::styled("consentry dev  ", strong),
            Span::raw(format!("{} in front of {}", self.url, plain::text(self.bench.origin()))),
        ]);
        frame.render_widget(title, head);
        let opened = self.opened.zip(self.marked);
        let found = opened.and_then(|(line, number)| {
            self.bench.journal().find(number).cloned().map(|seen| (line, seen))
        });
        match found {
            Some((line, seen)) => self.opened = Some(draw_one(frame, middle, &seen, line)),
            None => self.draw_all(frame, middle),
        }
        frame.render_widget(self.foot(opened.is_some()), foot);
    }

    fn foot(&self, is_opened: bool) -> Line<'static> {
        let soft = Style::new().add_modifier(Modifier::DIM);
        if self.is_typing {
            return Line::raw(format!(
                "Filter: {}_   Enter keeps it, Esc drops it",
                plain::text(&self.filter)
            ));
        }
        if !self.note.is_empty() {
            return Line::raw(self.note.clone());
        }
        let keys = match is_opened {
            true => "Esc back   Up Down scroll   e export   q quit",
            false => {
                "Enter decisions  / filter  next page: u(ndecided) r(efused) a(ll) g(pc) 1-4  e(xport) q(uit)"
            }
        };
        let filter = match self.filter.as_str() {
            "" => String::new(),
            filter => format!("[{}]  ", plain::text(filter)),
        };
        Line::styled(format!("{filter}{keys}"), soft)
    }

    fn draw_all(&self, frame: &mut Frame<'_>, area: Rect) {
        let shown = self.shown();
        if shown.is_empty() {
            let words = match self.filter.is_empty() {
                true => format!("Open {}/ in a browser. Every exchange appears here.", self.url),
                false => "Nothing matches the filter. Esc drops it.".to_owned(),
            };
            return frame.render_widget(Paragraph::new(words).wrap(Wrap { trim: true }), area);
        }
        let strong = Style::new().add_modifier(Modifier::BOLD);
        let rows = shown.iter().map(|seen| {
            let state = seen.verdicts.as_ref().map(Verdicts::state).unwrap_or_default();
            let row = Row::new([
                plain::text(&seen.method).into_owned(),
                status(seen),
                count(seen.held()),
                count(seen.passed()),
                format!("{:.0}", seen.took.as_secs_f64() * 1000.0),
                plain::text(&seen.target).into_owned(),
                state,
            ]);
            if seen.held() > 0 { row.style(strong) } else { row }
        });
        let lengths = [7, 11, 4, 6, 6].map(Constraint::Length);
        let visitor = if area.width < WIDE { 0 } else { 28 };
        let rest = [Constraint::Fill(1), Constraint::Length(visitor)];
        let widths = lengths.into_iter().chain(rest);
        let heads = ["", "status", "held", "passed", "ms", "page", "visitor"];
        let table = Table::new(rows, widths)
            .header(Row::new(heads).style(Style::new().add_modifier(Modifier::DIM)))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
        let mut state = TableState::default().with_selected(self.place(&shown));
        frame.render_stateful_widget(table, area, &mut state);
    }
}

fn status(seen: &Seen) -> String {
    match (seen.failure, seen.status) {
        (Some(failure), _) => failure.to_owned(),
        (None, Some(status)) => status.to_string(),
        (None, None) => "...".to_owned(),
    }
}

fn count(count: usize) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

/// One exchange with its decisions, from a line on; the line that could be
/// shown first.
fn draw_one(frame: &mut Frame<'_>, area: Rect, seen: &Seen, line: u16) -> u16 {
    let strong = Style::new().add_modifier(Modifier::BOLD);
    let number = format!("exchange {}   ", seen.number);
    let mut lines = vec![
        Line::styled(
            format!("{} {}", plain::text(&seen.method), plain::text(&seen.target)),
            strong,
        ),
        Line::raw(format!("{number}{}   {:.1} ms", status(seen), seen.took.as_secs_f64() * 1000.0)),
    ];
    if let Some(verdicts) = &seen.verdicts {
        lines.push(Line::raw(format!("visitor: {}   mode: {}", verdicts.state(), verdicts.mode)));
        let (held, passed): (Vec<_>, Vec<_>) =
            verdicts.decisions.iter().partition(|decision| decision.verdict.blocks());
        for (title, decisions) in [("Held back", held), ("Passed", passed)] {
            lines.push(Line::raw(""));
            lines.push(Line::styled(format!("{title} ({})", decisions.len()), strong));
            lines.extend(decisions.into_iter().flat_map(described));
        }
    }
    let most = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(area.height);
    let line = line.min(most);
    frame.render_widget(Paragraph::new(lines).scroll((line, 0)), area);
    line
}

fn described(decision: &Decision) -> Vec<Line<'static>> {
    let vendor = decision.vendor.as_ref();
    let whose = vendor.map_or_else(
        || "nobody in the catalogue".to_owned(),
        |vendor| format!("{} ({}), {}", vendor.name, vendor.owner, vendor.purpose.name()),
    );
    let mut lines = vec![
        Line::raw(format!("  {}", plain::text(&decision.what))),
        Line::raw(format!(
            "      {} in the {}: {}   {}",
            decision.kind.name(),
            decision.layer.name(),
            decision.verdict.reason(),
            plain::text(&whose)
        )),
    ];
    let rule = decision.rule.as_ref().map(ToString::to_string);
    lines.extend(rule.map(|rule| Line::raw(format!("      rule {}", plain::text(&rule)))));
    lines.push(Line::raw(format!("      {}", plain::text(&change(decision)))));
    lines
}

/// A file that was not there before.
fn write_new(directory: &Path, text: &str) -> io::Result<PathBuf> {
    let names =
        (1..1000).map(|number| directory.join(format!("consentry-decisions-{number}.json")));
    for path in names {
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return file.write_all(text.as_bytes()).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Kind;
    use crate::policy::{Basis, Grounds, Layer, Verdict};

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use std::sync::mpsc;
    use std::time::Instant;

    fn decision(verdict: Verdict, what: &str) -> Decision {
        Decision {
            verdict,
            layer: Layer::Html,
            kind: Kind::Script,
            what: what.to_owned(),
            vendor: None,
            rule: None,
            via: None,
            exception: None,
        }
    }

    fn view() -> View {
        let bench =
            Arc::new(Bench::new("http://localhost:3000", &[], Some(mpsc::sync_channel(1).0)));
        for target in ["/", "/shoes?id=1", "/\u{1b}[2Jevil"] {
            let decisions = vec![
                decision(
                    Verdict::Block(Grounds::NotGranted(Purpose::Marketing)),
                    "ads.example/p.js",
                ),
                decision(Verdict::Allow(Basis::Unlisted), "fonts.example/f.css\u{202e}"),
            ];
            let verdicts = Verdicts {
                site: "shop".to_owned(),
                class: "d".to_owned(),
                granted: vec!["necessary"],
                undecided: true,
                signal: "silence",
                mode: "enforce",
                decisions: if target == "/" { decisions } else { Vec::new() },
            };
            bench.journal().begin(Seen {
                number: 0,
                begun: Instant::now(),
                method: "GET".to_owned(),
                target: target.to_owned(),
                host: "localhost".to_owned(),
                takes_html: true,
                is_own: false,
                is_carried: true,
                status: Some(200),
                took: Duration::from_millis(12),
                failure: None,
                verdicts: Some(verdicts),
                cookies: Vec::new(),
            });
        }
        View::new(bench, "http://localhost:8080")
    }

    fn screen(view: &mut View) -> String {
        let mut terminal = Terminal::new(TestBackend::new(100, 16)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    fn press(view: &mut View, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                key => KeyCode::Char(key),
            };
            view.key(KeyEvent::new(code, KeyModifiers::NONE), Path::new("."));
        }
    }

    #[test]
    fn h4_the_newest_exchange_is_on_top_and_nothing_in_it_moves_the_cursor() {
        let mut view = view();
        let seen = screen(&mut view);
        let place = |text: &str| seen.find(text).unwrap_or_else(|| panic!("{text} in\n{seen}"));
        assert!(place("evil") < place("/shoes?id=1"), "{seen}");
        assert!(seen.contains("http://localhost:8080 in front of http://localhost:3000"), "{seen}");
        assert!(seen.contains("nothing granted (undecided)"), "{seen}");
        assert!(!seen.contains('\u{1b}') && seen.contains("\\u{1b}"), "{seen}");
    }

    #[test]
    fn h4_one_exchange_shows_its_decisions_and_why() {
        let mut view = view();
        press(&mut view, "jjj\n");
        let seen = screen(&mut view);
        for text in [
            "Held back (1)",
            "ads.example/p.js",
            "script in the html: not granted",
            "passes where the visitor granted it",
            "Passed (1)",
        ] {
            assert!(seen.contains(text), "{text} in\n{seen}");
        }
        assert!(!seen.contains('\u{202e}'), "{seen}");
        press(&mut view, "\u{1b}");
        assert!(!screen(&mut view).contains("Held back"));
    }

    #[test]
    fn h4_a_filter_leaves_what_has_all_its_words() {
        let mut view = view();
        press(&mut view, "/block ADS\n");
        let seen = screen(&mut view);
        assert!(!seen.contains("shoes") && !seen.contains("evil"), "{seen}");
        press(&mut view, "/nothing such\n");
        assert!(screen(&mut view).contains("Nothing matches the filter"));
        press(&mut view, "\u{1b}");
        assert!(screen(&mut view).contains("shoes"));
    }

    #[test]
    fn h3_a_key_switches_the_next_page_and_only_q_ends() {
        let mut view = view();
        press(&mut view, "a");
        assert!(screen(&mut view).contains("The next page: everything granted"));
        press(&mut view, "/q\n");
        assert!(!view.is_over, "that was a word");
        press(&mut view, "q");
        assert!(view.is_over);
    }

    #[test]
    fn h7_what_is_shown_is_exported_to_a_new_file() {
        let directory = tempfile::TempDir::new().unwrap();
        let view = view();
        for number in [1, 2] {
            let said = view.export(directory.path());
            assert!(said.starts_with("3 exchanges are in "), "{said}");
            let name = format!("consentry-decisions-{number}.json");
            let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
            let all: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(all["exchanges"].as_array().unwrap().len(), 3);
        }
    }
}
