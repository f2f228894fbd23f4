//! Reads a filter list line by line: which rules are taken, in what form, and
//! which are not, and why.
//!
//! What a list asks for and we do not do is counted with its reason and a few
//! examples, so that an operator can see what the list does here and what not.

use crate::purpose::Purpose;

use adblock::lists::{FilterParseError, ParseOptions, RuleTypes, parse_filter};
use std::borrow::Cow;

/// How many lines show what was not taken.
const EXAMPLES: usize = 3;

/// A filter list as somebody wrote it.
#[derive(Clone, Debug)]
pub struct List {
    /// Its file or address, as decisions name it.
    pub place: String,
    /// What the operator calls it; empty for the title it gives itself.
    pub name: String,
    /// Adblock syntax.
    pub text: String,
    /// What a visitor must agree to before that may load which only this list
    /// knows.
    pub purpose: Purpose,
}

/// What became of a list: what it says of itself, and what of it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What it calls itself.
    pub title: Option<String>,
    /// Its version, in its own words.
    pub version: Option<String>,
    /// How long it wants to be used, in its own words.
    pub expires: Option<String>,
    /// Where it lives.
    pub homepage: Option<String>,
    /// How many rules are used.
    pub rules: usize,
    /// How many of them name something to load instead; what they match is
    /// withheld.
    pub stand_ins: usize,
    /// What is not used, most frequent first.
    pub skipped: Vec<Skipped>,
}

/// Rules that are not used, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Why.
    pub reason: Cow<'static, str>,
    /// How many.
    pub count: usize,
    /// The first of them: line, counted from 1, and text.
    pub examples: Vec<(u32, String)>,
}

/// A rule that is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) line: u32,
    /// In the engine's syntax.
    pub(super) text: String,
    /// As it stands in the list, where that is different.
    pub(super) written: Option<String>,
    /// Whether it takes rules back, in whichever list those stand.
    pub(super) takes_back: bool,
    pub(super) use_for: UseFor,
}

/// What a rule is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UseFor {
    /// It withholds what is loaded.
    Loads,
    /// It takes a parameter of that name out of addresses.
    Parameter(String),
    /// It adds a policy to pages; an exception without one is from all.
    Csp(Option<String>),
}

impl List {
    /// Whether any of its rules is used.
    #[must_use]
    pub fn holds_rules(&self) -> bool {
        let mut lines = self.text.lines().map(str::trim).filter(|line| !is_comment(line));
        lines.any(|line| rule(0, line).is_ok())
    }
}

/// Reads a whole list.
pub(super) fn read(list: &List) -> (Vec<Rule>, Report) {
    let mut report = Report::default();
    let mut rules = Vec::new();
    let mut in_head = true;
    for (line, text) in (1..).zip(list.text.lines()) {
        let text = text.trim();
        if is_comment(text) {
            if in_head {
                report.read_head(text);
            }
            continue;
        }
        in_head = false;
        match rule(line, text) {
            Ok((rule, is_stand_in)) => {
                report.rules += 1;
                report.stand_ins += usize::from(is_stand_in);
                rules.push(rule);
            }
            Err(reason) => report.skip(reason, line, text),
        }
    }
    report.skipped.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(&b.reason)));
    (rules, report)
}

impl Report {
    fn read_head(&mut self, comment: &str) {
        let Some((key, value)) = comment.trim_start_matches(['!', ' ']).split_once(':') else {
            return;
        };
        let slot = match key.trim() {
            "Title" => &mut self.title,
            "Version" => &mut self.version,
            "Expires" => &mut self.expires,
            "Homepage" => &mut self.homepage,
            _ => return,
        };
        let value: String = value.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        if !value.is_empty() {
            slot.get_or_insert(value);
        }
    }

    fn skip(&mut self, reason: Cow<'static, str>, line: u32, text: &str) {
        let skipped = match self.skipped.iter_mut().find(|skipped| skipped.reason == reason) {
            Some(skipped) => skipped,
            None => {
                self.skipped.push(Skipped { reason, count: 0, examples: Vec::new() });
                let Some(last) = self.skipped.last_mut() else { return };
                last
            }
        };
        skipped.count += 1;
        if skipped.examples.len() < EXAMPLES {
            skipped.examples.push((line, text.chars().take(200).collect()));
        }
    }
}

fn is_comment(line: &str) -> bool {
    line.len() < 2
        || line.starts_with('!')
        || line.starts_with("[Adblock")
        || line.starts_with("[uBlock")
        || line.starts_with("# ")
}

/// Signs of rules about elements and scripts in the page: `##`, `#@#`, `#?#`,
/// `#$#`, `#%#`, and AdGuard's `$$`.
fn is_cosmetic(line: &str) -> bool {
    if line.starts_with('|') || line.starts_with("@@|") {
        return false;
    }
    let hidden = line.find('#').and_then(|at| line.get(at + 1..)).is_some_and(|rest| {
        let sign = rest.split('#').next().unwrap_or_default();
        rest.contains('#') && sign.len() <= 3 && sign.bytes().all(|byte| b"@?$%".contains(&byte))
    });
    hidden || line.contains("$$")
}

/// One rule, and whether it names something to load instead.
fn rule(line: u32, text: &str) -> Result<(Rule, bool), Cow<'static, str>> {
    if is_cosmetic(text) {
        return Err("hides elements or runs code in the page".into());
    }
    let mut options = Options::of(text)?;
    let exception = text.starts_with("@@");
    let is_stand_in = options.take(&["redirect", "rewrite"]).is_some();
    if options.take(&["redirect-rule"]).is_some() {
        return Err("names something to load in place of what other rules withhold".into());
    }
    if is_stand_in && exception {
        return Err("an exception from loading something else instead".into());
    }
    let parameter = options.take(&["removeparam", "queryprune"]);
    let csp = options.take(&["csp"]);
    if parameter.is_some() || csp.is_some() {
        // For these the engine has lists of its own, which do not say which
        // rule it was. Without the option, they are rules like any other.
        options.default_types(if csp.is_some() { &PAGES } else { &REQUESTS });
    }
    let use_for = match (parameter, csp) {
        (None, None) => UseFor::Loads,
        (Some(name), None) => UseFor::Parameter(parameter_name(name)?),
        (None, Some(directives)) => UseFor::Csp(directives_of(directives, exception)?),
        (Some(_), Some(_)) => return Err("asks for two things at once".into()),
    };
    let is_taken_back = options.has(&["badfilter"]);
    let fit = options.text();
    understood(&fit)?;
    let written = (fit != text).then(|| text.to_owned());
    let rule = Rule { line, text: fit, written, takes_back: exception || is_taken_back, use_for };
    Ok((rule, is_stand_in && !is_taken_back))
}

/// What `removeparam` is about when it does not say.
const REQUESTS: [&str; 3] = ["document", "subdocument", "xmlhttprequest"];

/// Where `csp` applies.
const PAGES: [&str; 2] = ["document", "subdocument"];

/// Options that say as what something is loaded.
const TYPES: [&str; 19] = [
    "all",
    "beacon",
    "css",
    "doc",
    "document",
    "font",
    "frame",
    "image",
    "media",
    "object",
    "object-subrequest",
    "other",
    "ping",
    "script",
    "stylesheet",
    "subdocument",
    "websocket",
    "xhr",
    "xmlhttprequest",
];

fn parameter_name(name: &str) -> Result<String, Cow<'static, str>> {
    let is_plain =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    match name {
        "" => Err("removes every parameter".into()),
        name if is_plain(name) => Ok(name.to_owned()),
        _ => Err("removes parameters by a pattern, not by name".into()),
    }
}

fn directives_of(directives: &str, exception: bool) -> Result<Option<String>, Cow<'static, str>> {
    let lower = directives.to_ascii_lowercase();
    if lower.contains("report-uri") || lower.contains("report-to") {
        return Err("a policy that makes browsers report elsewhere".into());
    }
    match directives.trim() {
        "" if exception => Ok(None),
        "" => Err("adds a policy without saying which".into()),
        text if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => Ok(Some(text.to_owned())),
        _ => Err("a policy that no header field can carry".into()),
    }
}

/// Whether the engine takes a rule; otherwise what it minds.
fn understood(rule: &str) -> Result<(), Cow<'static, str>> {
    let options = ParseOptions { rule_types: RuleTypes::NetworkOnly, ..ParseOptions::default() };
    match parse_filter(rule, false, options) {
        Ok(_) => Ok(()),
        Err(FilterParseError::Network(error)) => Err(error.to_string().into()),
        Err(_) => Err("not a rule about requests".into()),
    }
}

/// A rule taken apart at its `$`.
struct Options<'r> {
    pattern: &'r str,
    list: Vec<&'r str>,
}

impl<'r> Options<'r> {
    fn of(rule: &'r str) -> Result<Self, Cow<'static, str>> {
        let Some((pattern, options)) = rule.rsplit_once('$') else {
            return Ok(Self { pattern: rule, list: Vec::new() });
        };
        let mut taken = Self { pattern, list: options.split(',').collect() };
        taken.leave_out_windows()?;
        // No rule is about pages unless it says so, and the engine minds.
        taken.list.retain(|option| !matches!(*option, "~document" | "~doc"));
        let is_whole = |option: &&str| matches!(*option, "document" | "doc");
        let is_other = |option: &&str| TYPES.contains(option) && !is_whole(option);
        // Whole pages are for the operator to except, not for a list.
        let lets_pass =
            pattern.starts_with("@@") && !taken.has(&["csp", "queryprune", "removeparam"]);
        if lets_pass && taken.list.iter().any(is_other) {
            taken.list.retain(|option| !is_whole(option));
        }
        for option in &taken.list {
            check_option(option, lets_pass)?;
        }
        Ok(taken)
    }

    /// Windows that a page opens are not ours to stop: a rule that is about
    /// nothing else goes, another one only loses that part.
    fn leave_out_windows(&mut self) -> Result<(), Cow<'static, str>> {
        let windows = ["popup", "popunder"];
        let before = self.list.len();
        let was_negated = self.list.contains(&"~popup");
        self.list.retain(|option| !windows.contains(&option.trim_start_matches('~')));
        let other = self.list.iter().any(|option| TYPES.contains(option));
        if before > self.list.len() && !was_negated && !other {
            return Err("the option `popup`".into());
        }
        Ok(())
    }

    /// Takes an option out of the rule and gives its value.
    fn take(&mut self, names: &[&str]) -> Option<&'r str> {
        let at = self.list.iter().position(|option| names.contains(&name_of(option)))?;
        let option = self.list.remove(at);
        Some(option.split_once('=').map_or("", |(_, value)| value))
    }

    fn has(&self, names: &[&str]) -> bool {
        self.list.iter().any(|option| names.contains(&name_of(option)))
    }

    fn default_types(&mut self, types: &[&'static str]) {
        if self.list.iter().any(|option| TYPES.contains(option)) {
            return;
        }
        let negated =
            |name: &str| self.list.iter().any(|option| option.strip_prefix('~') == Some(name));
        let kept: Vec<_> = types.iter().copied().filter(|name| !negated(name)).collect();
        self.list
            .retain(|option| option.strip_prefix('~').is_none_or(|name| !TYPES.contains(&name)));
        self.list.extend(kept);
    }

    fn text(&self) -> String {
        let (exception, pattern) = match self.pattern.strip_prefix("@@") {
            Some(pattern) => ("@@", pattern),
            None => ("", self.pattern),
        };
        let pattern = if pattern.is_empty() { "*" } else { pattern };
        if self.list.is_empty() {
            format!("{exception}{pattern}")
        } else {
            format!("{exception}{pattern}${}", self.list.join(","))
        }
    }
}

fn name_of(option: &str) -> &str {
    option.split('=').next().unwrap_or_default()
}

/// Says of an option that it is not used, or used otherwise than meant.
fn check_option(option: &str, lets_pass: bool) -> Result<(), Cow<'static, str>> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let bare = name.trim_start_matches('~');
    match bare {
        "generichide" | "ghide" | "elemhide" | "ehide" | "specifichide" | "shide" => {
            Err("is about hiding elements".into())
        }
        "document" | "doc" if lets_pass && !name.starts_with('~') => {
            Err("an exception for whole pages (`document`)".into())
        }
        "domain" | "from" => {
            let is_wild = |domain: &&str| domain.contains('*') || domain.starts_with('/');
            let (wild, plain): (Vec<_>, Vec<_>) = value.split('|').partition(is_wild);
            let left = plain.iter().any(|domain| !domain.starts_with('~'));
            // The engine leaves such domains out: a rule with no other would
            // never match, and one that spares them would match there.
            match wild.iter().any(|domain| domain.starts_with('~')) || !wild.is_empty() && !left {
                true => Err("the option `domain` with a pattern".into()),
                false => Ok(()),
            }
        }
        "to" | "tag" => Err(format!("the option `{bare}`").into()),
        _ if KNOWN.contains(&bare) || TYPES.contains(&bare) => Ok(()),
        _ => {
            let shown: String = bare.chars().filter(|c| !c.is_control()).take(30).collect();
            Err(format!("the option `{shown}`").into())
        }
    }
}

/// Options that are used, beside those that name a type.
const KNOWN: [&str; 15] = [
    "1p",
    "3p",
    "badfilter",
    "csp",
    "first-party",
    "important",
    "match-case",
    "method",
    "queryprune",
    "redirect",
    "redirect-rule",
    "removeparam",
    "rewrite",
    "third-party",
    "domain",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<(Rule, bool), String> {
        rule(1, text).map_err(Cow::into_owned)
    }

    #[test]
    fn every_option_has_its_place() {
        let parameter = |name: &str| UseFor::Parameter(name.to_owned());
        let csp = |text: &str| UseFor::Csp(Some(text.to_owned()));
        for (written, fit, use_for) in [
            ("||a.example^", "||a.example^", UseFor::Loads),
            ("||a.example^$popup,script", "||a.example^$script", UseFor::Loads),
            ("||a.example^$~popup", "||a.example^", UseFor::Loads),
            ("/a$~document,~script", "/a$~script", UseFor::Loads),
            ("@@/a$document,subdocument", "@@/a$subdocument", UseFor::Loads),
            ("||a.example/x.js$redirect=noop.js", "||a.example/x.js", UseFor::Loads),
            (
                "||a.example/x.js$script,rewrite=abp-resource:blank-js,3p",
                "||a.example/x.js$script,3p",
                UseFor::Loads,
            ),
            ("$removeparam=gclid", "*$document,subdocument,xmlhttprequest", parameter("gclid")),
            ("@@||a.example^$removeparam=x,xhr", "@@||a.example^$xhr", parameter("x")),
            ("@@/a$removeparam=x,doc,xhr", "@@/a$doc,xhr", parameter("x")),
            (
                "||a.example^$removeparam=x,~xmlhttprequest",
                "||a.example^$document,subdocument",
                parameter("x"),
            ),
            (
                "||a.example^$csp=script-src 'none'",
                "||a.example^$document,subdocument",
                csp("script-src 'none'"),
            ),
            ("@@||a.example^$csp", "@@||a.example^$document,subdocument", UseFor::Csp(None)),
        ] {
            let (rule, _) = one(written).unwrap();
            assert_eq!((rule.text.as_str(), &rule.use_for), (fit, &use_for), "{written}");
            assert_eq!(rule.written.is_some(), written != fit, "{written}");
        }
    }

    #[test]
    fn what_is_not_used_says_why() {
        for (written, why) in [
            ("a.example##.banner", "hides elements"),
            ("a.example#@#.banner", "hides elements"),
            ("##+js(set, a, 1)", "hides elements"),
            ("a.example$$script", "hides elements"),
            ("||a.example^$popup", "`popup`"),
            ("||a.example^$popup,third-party", "`popup`"),
            ("@@||a.example^$generichide", "hiding"),
            ("@@||a.example^$document", "whole pages"),
            ("@@||a.example^$redirect=noop.js", "an exception from loading"),
            ("||a.example^$redirect-rule=noop.js", "what other rules withhold"),
            ("||a.example^$removeparam", "every parameter"),
            ("||a.example^$removeparam=/^x/", "by a pattern"),
            ("||a.example^$csp=script-src 'none'; report-uri /x", "report elsewhere"),
            ("||a.example^$csp=x,removeparam=y", "two things"),
            ("||a.example^$header=via:x", "`header`"),
            ("||a.example^$denyallow=b.example", "`denyallow`"),
            ("||a.example^$to=b.example", "`to`"),
            ("/x.js$domain=google.*", "`domain` with a pattern"),
            ("/x.js$domain=~google.*", "`domain` with a pattern"),
            ("||a.example^$match-case", "match-case"),
        ] {
            let said = one(written).unwrap_err();
            assert!(said.contains(why), "{written}: {said}");
        }
        assert!(one("/x.js$domain=google.*|a.example").is_ok());
    }

    #[test]
    fn a_list_says_what_it_is_and_what_of_it_is_used() {
        let text = "[Adblock Plus 2.0]\n! Title: Test list\n! Expires: 4 days (update frequency)\n\
                    ! Version: 7\n||a.example^\n||b.example^$popup\n||c.example^$popup\nx##y\n\
                    ||d.example^$redirect=noop.js\n! Title: another\n";
        let list = List {
            place: "x".into(),
            name: String::new(),
            text: text.into(),
            purpose: Purpose::Marketing,
        };
        let (rules, report) = read(&list);
        assert_eq!(rules.iter().map(|rule| rule.line).collect::<Vec<_>>(), [5, 9]);
        assert_eq!((report.rules, report.stand_ins), (2, 1));
        assert_eq!(report.title.as_deref(), Some("Test list"));
        assert_eq!(report.expires.as_deref(), Some("4 days (update frequency)"));
        assert_eq!(report.version.as_deref(), Some("7"));
        let [windows, hiding] = report.skipped.as_slice() else { panic!("{report:?}") };
        assert_eq!((&*windows.reason, windows.count), ("the option `popup`", 2));
        assert_eq!(
            windows.examples,
            [(6, "||b.example^$popup".into()), (7, "||c.example^$popup".into())]
        );
        assert_eq!(hiding.count, 1);
    }
}
