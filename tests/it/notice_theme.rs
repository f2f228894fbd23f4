//! An operator chooses how the notice looks, and cannot choose that one answer
//! looks better than the other.

use crate::driver::{Browser, is_here};
use crate::harness::{consentry, origin, visitor};
use crate::program::runs;

use serde_json::json;

const PAGE: &str =
    "<!doctype html><html lang=en><title>Shop</title><body><h1>Tea</h1></body></html>";

/// What `check` says of a configuration with these lines.
fn check(lines: &str) -> (i32, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("consentry.toml");
    std::fs::write(&file, format!("[[site]]\norigin = 'http://127.0.0.1:9'\n{lines}\n")).unwrap();
    runs(&["check", "--config", file.to_str().unwrap()])
}

#[test]
fn e2_a_dark_pattern_is_refused_with_its_place_and_the_rule() {
    for (line, rule, source) in [
        (
            "refuse_button = false",
            "beside \"Accept all\"",
            "EDPB Cookie Banner Taskforce, January 2023",
        ),
        ("reject_button = 'link'", "beside \"Accept all\"", "CPPA v. Honda"),
        ("accept_only = true", "offers \"no\" in the same place", "EDPB"),
        ("refuse_as_link = true", "same weight", "EDPB"),
        ("refuse_colour = '#eeeeee'", "both answers have one style", "EDPB"),
        ("accept_button_size = 'large'", "both answers have one style", "EDPB"),
        ("highlight_accept = true", "both answers have one style", "EDPB"),
        ("preticked = ['analytics']", "no box is ticked", "GDPR, recital 32"),
        ("default_on = true", "no box is ticked", "GDPR, recital 32"),
        ("consent_by = 'scroll'", "only a click", "EDPB Guidelines 05/2020"),
        ("consent_on_navigation = true", "no consent", "CNIL"),
        ("auto_accept_s = 10", "no consent", "CNIL"),
        ("reask_after_refusal = true", "not asked again", "CNIL"),
        ("refusal_lifetime_days = 7", "not asked again", "consent.lifetime_days"),
        ("wall = true", "works whatever the visitor answers", "EDPB Guidelines 05/2020"),
        ("cookie_wall = 'soft'", "works whatever the visitor answers", "CNIL"),
        ("legitimate_interest = ['marketing']", "another ground", "EDPB"),
    ] {
        for section in ["[notice]", "[consent]", "[site.notice]", "policy_url = ''"] {
            let (code, said) = check(&format!("{section}\n{line}"));
            assert_eq!(code, 78, "{section} {line}: {said}");
            let key = line.split(' ').next().unwrap();
            assert!(said.contains(&format!("consentry.toml:4:1: `{key}` is refused: ")), "{said}");
            assert!(said.contains(rule) && said.contains(source), "{section} {line}: {said}");
        }
    }
}

#[test]
fn e2_what_only_says_what_holds_anyway_is_no_mistake() {
    let lines = "[notice]\nrefuse_button = true\naccept_only = false\npreticked = []\nconsent_by = 'click'\nwall = false\nreask_after_refusal = false";
    let (code, said) = check(lines);
    assert_eq!(code, 0, "{said}");
    // Nonsense is still nonsense.
    let (code, said) = check("[notice]\nrefuse = 1");
    assert!(code == 78 && said.contains("unknown field `refuse`"), "{said}");
}

#[test]
fn e2_what_can_hardly_be_read_is_refused() {
    for (lines, place, words) in [
        (
            "[notice]\nlight_text = '#aaaaaa'",
            "4:14",
            "contrast of 2.3 to 1 with `light_background` (#ffffff); it takes 4.5",
        ),
        ("[notice]\nlight_button = '#dddddd'", "4:16", "the words on a button"),
        (
            "[notice]\nlight_button = '#f0f0f0'\nlight_button_text = '#000'",
            "4:16",
            "a button (#f0f0f0)",
        ),
        ("[notice]\ndark_background = '#808080'", "4:19", "the words (#e9ecf0)"),
        (
            "[site.notice]\nlight_button_text = '#1f3a5f'",
            "4:21",
            "contrast of 1.0 to 1 with `light_button`",
        ),
        ("[notice]\nlight_text = 'red'", "4:14", "`red` is no colour"),
        ("[notice]\nposition = 'middle'", "4:12", "`bottom`, `top` or `corner`"),
        ("[notice]\nfont = 'x;}body{display:none'", "4:8", "no list of fonts"),
        ("[notice]\nradius_px = 200", "4:13", "0 to 24"),
    ] {
        let (code, said) = check(lines);
        assert_eq!(code, 78, "{lines}: {said}");
        assert!(
            said.contains(&format!("consentry.toml:{place}: ")) && said.contains(words),
            "{lines}: {said}"
        );
    }
}

#[test]
fn e2_a_colour_of_one_site_is_checked_with_those_of_all() {
    let (code, said) = check(
        "[site.notice]\nlight_background = '#000000'\nlight_text = '#ffffff'\nlight_button = '#ffffff'\nlight_button_text = '#000000'\n[notice]\nfont = 'Inter'",
    );
    assert_eq!(code, 0, "{said}");
    // Each is fine alone: dark words for all, a dark ground for one.
    let (code, said) =
        check("[site.notice]\nlight_background = '#000000'\n[notice]\nlight_text = '#222222'");
    assert!(code == 78 && said.contains("consentry.toml:6:14"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_a_theme_reaches_the_notice_and_our_pages() {
    let origin = origin().page("/", PAGE).start().await;
    let proxy = consentry(&origin)
        .config("[notice]\nlight_button = '#7a0019'\nfont = 'Inter'\nradius_px = 0")
        .site("[site.notice]\nradius_px = 4\ndark_button = '#ffd0d8'")
        .start()
        .await;
    let page = visitor(&proxy).opens("/").await.body;
    for part in [
        "--csy-button:#7a0019!important",
        "--csy-button:#ffd0d8!important",
        "--csy-radius:4px",
        "--csy-font:\"Inter\",system-ui",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let choices = visitor(&proxy).opens("/.consentry/choices").await.body;
    assert!(choices.contains("--button:#7a0019") && choices.contains("--radius:4px"), "{choices}");
}

#[tokio::test(flavor = "multi_thread")]
async fn e2_both_answers_look_alike_in_every_position_and_colour() {
    if !is_here() {
        return;
    }
    let origin = origin().page("/", PAGE).start().await;
    let browser = Browser::open(true).await;
    for position in ["bottom", "top", "corner"] {
        let theme = format!(
            "[notice]\nposition = '{position}'\nlight_button = '#7a0019'\nradius_px = 0\nfont = 'serif'"
        );
        let proxy = consentry(&origin).config(&theme).start().await;
        for width in [1280, 390] {
            let screen =
                json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
            browser.commands("Emulation.setDeviceMetricsOverride", screen).await;
            for path in ["/", "/.consentry/choices"] {
                browser.goes_to(&format!("http://{}{path}", proxy.address)).await;
                let looks = browser.runs(LOOKS).await;
                let expected = json!([[], "rgb(122, 0, 25)", true]);
                assert_eq!(looks, expected, "what differs, {position} {width} {path}");
            }
            browser.goes_to(&format!("http://{}/", proxy.address)).await;
            let edges = browser.runs("const { top, bottom, left, width } = document.body.shadowRoot.querySelector('#csy-ask').getBoundingClientRect(); \
                return [top <= 0, bottom >= innerHeight, left > innerWidth / 2, width >= innerWidth - 1 || width === 1120]").await;
            let expected = match (position, width) {
                ("top", _) => json!([true, false, false, true]),
                ("corner", 1280) => json!([false, false, true, false]),
                _ => json!([false, true, false, true]),
            };
            assert_eq!(edges, expected, "{position} {width}");
        }
    }
}

/// What differs between the answers, of everything about a button but its
/// place; the colour of one; and whether anything was compared.
const LOOKS: &str = "const root = document.body.shadowRoot || document; \
    const [no, yes] = ['none', 'all'].map((value) => getComputedStyle(root.querySelector(`button[value=${value}]`))); \
    const names = [...no].filter((name) => !name.endsWith('-origin')); \
    const round = (text) => text.replace(/[0-9.]+(?=px)/g, (size) => Math.round(size)); \
    return [names.filter((name) => round(no.getPropertyValue(name)) !== round(yes.getPropertyValue(name))), \
        no.backgroundColor, names.length > 300]";
