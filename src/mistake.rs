//! What is wrong in a file somebody wrote, where, and what to do about it.

use serde::de::DeserializeOwned;
use std::fmt;

/// One thing that is wrong in a TOML file.
///
/// Its `Display` form shows file, line and column, the line itself with a
/// caret, and advice: enough to mend it without reading any documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as the operator named it.
    pub file: String,
    /// Counted from 1; 0 when the mistake has no place in the file.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, if we know.
    pub advice: Option<String>,
    excerpt: String,
}

impl Mistake {
    /// A mistake at a byte offset of `text`.
    #[must_use]
    pub fn at(file: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count();
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |head| head.chars().count());
        Self {
            file: file.to_owned(),
            line: line + 1,
            column: column + 1,
            message: without_password(&message.into()),
            advice: None,
            excerpt: without_password(text.lines().nth(line).unwrap_or_default()),
        }
    }

    /// A mistake that has no place in the file, such as a file that cannot be
    /// read or a key set in the environment.
    #[must_use]
    pub fn in_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: without_password(&message.into()),
            advice: None,
            excerpt: String::new(),
        }
    }

    /// The same mistake, with advice.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.message)?;
        } else {
            writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
            writeln!(f, "{:>5} | {}", self.line, self.excerpt)?;
            write!(f, "      | {:>width$}", '^', width = self.column)?;
        }
        self.advice.iter().try_for_each(|advice| write!(f, "\n      = {advice}"))
    }
}

impl std::error::Error for Mistake {}

/// Keys of addresses that nobody may know who reads the log.
const SECRET: [&str; 2] = ["postgres_url", "webhook_url"];

/// A line that somebody wrote, to be shown to whoever reads the log: without
/// the password in the address of a database, and without that of a receiver
/// of alerts, however wrong they or their keys are.
fn without_password(line: &str) -> String {
    for secret in SECRET {
        let key = line.find(secret).and_then(|at| line.split_at_checked(at));
        if let Some((before, after)) = key
            && let Some((key, _)) = after.split_once('=')
            && key.trim() == secret
        {
            return format!("{before}{key}= ...");
        }
    }
    if let Some((key, _)) = line.split_once('=')
        && closest(key.trim(), SECRET.into_iter()).is_some()
    {
        return format!("{key}= ...");
    }
    let mut shown = String::new();
    let mut rest = line;
    for scheme in ["postgres://", "postgresql://"] {
        while let Some((before, after)) = rest.split_once(scheme) {
            let end = after.find(['"', '\'', '`', ' ']).unwrap_or(after.len());
            let (address, behind) = after.split_at_checked(end).unwrap_or((after, ""));
            let place = address.rsplit_once('@').map_or("", |(_, place)| place);
            shown = format!("{shown}{before}{scheme}...{place}");
            rest = behind;
        }
    }
    shown + rest
}

/// Reads a TOML file that somebody wrote.
///
/// # Errors
/// Says where the first mistake is; a misspelt key comes with the key that was
/// probably meant.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Mistake> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().to_owned();
        let advice = suggestion(&message);
        let mistake = match error.span() {
            Some(span) => Mistake::at(file, text, span.start, message),
            None => Mistake::in_file(file, message),
        };
        Mistake { advice, ..mistake }
    })
}

/// "did you mean `listen`?", for a message of the form
/// "unknown field `lisen`, expected one of `listen`, `origin`".
#[must_use]
pub fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let written = quoted.next()?;
    if !message.starts_with("unknown") {
        return None;
    }
    closest(written, quoted).map(|meant| format!("did you mean `{meant}`?"))
}

/// The word out of `known` that `written` was probably meant to be.
#[must_use]
pub fn closest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    known
        .map(|word| (strsim::damerau_levenshtein(written, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 4)
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its names matter")]
    struct Sample {
        listen: Option<String>,
        origin: Option<String>,
    }

    #[test]
    fn a_password_of_a_database_is_not_shown() {
        for line in [
            "postgres_url = \"postgres://me:s3cret@db/x",
            "  postgres_url=s3cret",
            "  postgre_url=s3cret",
            "webhook_url = 'https://hooks.example/s3cret'",
            "webhok_url = 'https://hooks.example/s3cret'",
            "alerts = { log = true, webhook_url = 's3cret' }",
            "[ledger] # postgres_url = s3cret",
            "file = \"postgresql://me:s3cret@db/x\"",
            "invalid type: string \"postgres://me:s3@cret@db/x\", expected a section",
            "--ledger postgres://s3cret",
        ] {
            let shown = Mistake::at("c.toml", line, 3, line).to_string();
            assert!(!shown.contains("s3") && !shown.contains("cret"), "{shown}");
        }
        let plain = "postgres_url_file = \"/run/secrets/url\" # 'a' \"b";
        assert_eq!(without_password(plain), plain);
        let plain = "webhook_secret_file = '/run/secrets/hook'";
        assert_eq!(without_password(plain), plain);
    }

    #[test]
    fn a_misspelt_key_is_shown_where_it_stands_with_the_right_one() {
        let text = "# ü\norigin = \"x\"\n  lisen = \"y\"\n";
        let mistake = parse::<Sample>("c.toml", text).unwrap_err();
        assert_eq!((mistake.line, mistake.column), (3, 3));
        let shown = mistake.to_string();
        assert!(shown.starts_with("c.toml:3:3: unknown field `lisen`"), "{shown}");
        assert!(
            shown.ends_with("    3 |   lisen = \"y\"\n      |   ^\n      = did you mean `listen`?"),
            "{shown}"
        );
    }

    #[test]
    fn nonsense_gets_no_suggestion() {
        let mistake = parse::<Sample>("c.toml", "wildebeest = 1").unwrap_err();
        assert_eq!(mistake.advice, None);
    }
}
