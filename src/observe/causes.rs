//! Says an error in words.

use std::error::Error;

/// An error with everything that caused it: the cause is what an operator
/// needs. What an error repeats of its cause is said once.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        next = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn every_cause_is_named_once() {
        let refused = Said("refused", None);
        let repeated = Said("nobody listens: refused", Some(Box::new(refused)));
        let all = Said("not sent", Some(Box::new(repeated)));
        assert_eq!(chain(&all), "not sent: nobody listens: refused");
    }
}
