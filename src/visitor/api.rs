//! The script with which a site's own code asks and chooses.

use crate::visitor::{Visit, page};

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};
use maud::{Markup, html};

/// The tag that brings it into a page, where the site wants that.
pub(super) fn tag(visit: &Visit<'_>) -> Markup {
    let api = &visit.site.api;
    let address = format!("{}{}", visit.host_prefix(), visit.path(api.script.name()));
    html! { @if api.on_pages { script defer src=(address) {} } }
}

/// Whether a file below our own prefix is the script: under the name that
/// changes with it, an older one, or the one that a site writes itself.
pub(super) fn is_named(file: &str) -> bool {
    file == "api.js" || file.starts_with("api-") && file.ends_with(".js")
}

/// The script. Under the name that stays it is asked for again soon.
pub(super) fn answer(path: &str, visit: &Visit<'_>) -> Response<Bytes> {
    let script = &visit.site.api.script;
    let file = path.rsplit('/').next().unwrap_or_default();
    let mut response = page::script(script.body(), file == script.name());
    if file == "api.js" {
        let soon = HeaderValue::from_static("public, max-age=300");
        response.headers_mut().insert(CACHE_CONTROL, soon);
    }
    response
}

#[cfg(test)]
mod tests {
    use crate::site::ScriptApi;
    use crate::visitor::notice::{link, notice};
    use crate::visitor::trial::{self, Trial};
    use std::sync::Arc;

    #[test]
    fn d12_the_script_is_served_and_stands_on_pages_only_where_it_is_wanted() {
        let mut trial = Trial::new();
        let name = trial.site.api.script.name().to_owned();
        for (path, kept) in [
            (name.as_str(), "public, max-age=31536000, immutable"),
            ("api-0123.js", "private, no-store"),
            ("api.js", "public, max-age=300"),
        ] {
            let answer = trial.get(&format!("/.consentry/{path}"));
            assert_eq!(answer.headers()["cache-control"], kept, "{path}");
            assert_eq!(answer.body(), trial.site.api.script.body());
        }
        let scripts = |trial: &Trial| {
            [notice(&trial.visit(), "/"), link(&trial.visit(), "/")].map(|html| {
                let tags = trial::tags(html.as_bytes(), "script");
                tags.iter().filter(|tag| tag.attribute("src").unwrap().contains("/api-")).count()
            })
        };
        assert_eq!(scripts(&trial), [0, 0]);
        trial.site.api = Arc::new(ScriptApi::new("/.consentry", &[], true));
        assert_eq!(scripts(&trial), [1, 1]);
    }
}
