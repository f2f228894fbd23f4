//! A "yes" covers the question that was asked, and a "no" covers every
//! question.

use crate::harness::{Visitor, consentry, origin, visitor_at};
use crate::program::{Setup, runs};

use serde_json::Value;
use std::fs;

const PAGE: &str = "<!doctype html><title>Shop</title><body><p>Hello</p></body>";
const NOTICE: &str = "id=\"csy-ask\"";

async fn said(visitor: &mut Visitor) -> [String; 4] {
    let state = visitor.opens("/.consentry/state").await;
    let state: Value = serde_json::from_str(&state.body).unwrap();
    ["functional", "analytics", "personalization", "marketing"]
        .map(|purpose| state["purposes"][purpose].as_str().unwrap().to_owned())
}

/// The revision that `check` shows.
fn revision(setup: &Setup) -> u32 {
    let config = setup.file("consentry.toml");
    let (code, told) = runs(&["check", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{told}");
    let (_, number) = told.trim().rsplit_once("its notice has revision ").unwrap();
    number.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_other_words_ask_again_for_what_was_granted_and_a_mended_spelling_does_not() {
    let origin = origin().page("/", PAGE).start().await;
    let setup = Setup::new(origin.address, "");
    let texts = setup.file("en.toml");
    let asks = |words: &str| fs::write(&texts, format!("lang = 'en'\nask = '{words}'\n")).unwrap();
    let section = format!("[notice]\ntexts = [{texts:?}]\n");
    asks("May we uze this?");
    setup.configure(origin.address, &section);
    let first = revision(&setup);
    let mut program = setup.start();
    let mut agreed = visitor_at(program.address);
    let mut partly = visitor_at(program.address);
    let mut refused = visitor_at(program.address);
    agreed.chooses("all", &[]).await;
    partly.chooses("some", &["analytics"]).await;
    refused.chooses("none", &[]).await;

    // A spelling is mended, and the operator says that it is no more than that.
    asks("May we use this?");
    let mended = revision(&setup);
    assert_ne!(mended, first);
    setup.configure(origin.address, &format!("{section}[consent]\nsame_as = [{first}]\n"));
    program.reloads();
    assert_eq!(said(&mut agreed).await, ["granted"; 4]);
    assert!(!agreed.opens("/").await.body.contains(NOTICE));

    // Now it asks for something else.
    asks("May we use and sell this?");
    assert!(![first, mended].contains(&revision(&setup)));
    setup.configure(origin.address, &section);
    program.reloads();
    assert_eq!(said(&mut agreed).await, ["undecided"; 4]);
    assert_eq!(said(&mut partly).await, ["denied", "undecided", "denied", "denied"]);
    assert_eq!(said(&mut refused).await, ["denied"; 4]);
    for (visitor, asked) in [(&mut agreed, true), (&mut partly, true), (&mut refused, false)] {
        assert_eq!(visitor.opens("/").await.body.contains(NOTICE), asked);
    }
    let choices = agreed.opens("/.consentry/choices").await.body;
    assert!(choices.contains("The notice has changed since then"), "{choices}");
    assert!(!choices.contains(" checked"), "nothing is ticked that has to be asked again");
    // One vendor more or less brings nothing of it back.
    let host = program.address.to_string();
    let fields = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", &*format!("http://{host}")),
    ];
    let one = agreed
        .asks("POST", "/.consentry/choices", &fields, "choice=vendor&vendor=allow:acme-maps")
        .await;
    assert_eq!(one.status, 303);
    assert_eq!(said(&mut agreed).await, ["undecided"; 4]);
    agreed.chooses("all", &[]).await;
    assert_eq!(said(&mut agreed).await, ["granted"; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn e10_a_new_vendor_is_not_covered_by_an_older_yes() {
    let origin = origin().page("/", PAGE).start().await;
    let setup = Setup::new(origin.address, "");
    let declare = |vendors: &str| {
        setup.configure(origin.address, "");
        let file = setup.file("consentry.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{text}vendors = {vendors}\n")).unwrap();
    };
    declare("['acme-stats']");
    let mut program = setup.start();
    let mut agreed = visitor_at(program.address);
    let mut refused = visitor_at(program.address);
    agreed.chooses("all", &[]).await;
    refused.chooses("none", &[]).await;
    declare("['acme-ads', 'acme-stats']");
    program.reloads();
    assert!(agreed.opens("/").await.body.contains(NOTICE));
    for _ in 0..100 {
        assert!(!refused.opens("/").await.body.contains(NOTICE), "a \"no\" is not asked for twice");
    }
    // The same vendors in another order ask the same.
    agreed.chooses("all", &[]).await;
    declare("['acme-stats', 'acme-ads', 'acme-ads']");
    program.reloads();
    assert!(!agreed.opens("/").await.body.contains(NOTICE));
}

#[test]
fn e10_d14_sites_with_one_choice_ask_one_question() {
    let setup = Setup::new("127.0.0.1:9".parse().unwrap(), "");
    let file = setup.file("consentry.toml");
    let text = fs::read_to_string(&file).unwrap();
    let site = |host: &str, more: &str| {
        format!("[[site]]\norigin = 'http://127.0.0.1:9'\nhosts = ['{host}']\n{more}\n")
    };
    let grouped = format!(
        "{}{}{}{}",
        text.split("[[site]]").next().unwrap(),
        site("www.shop.example", "choice_group = 'shop'\nvendors = ['acme-ads']"),
        site("tea.shop.example", "choice_group = 'shop'"),
        site("other.example", ""),
    );
    fs::write(&file, grouped).unwrap();
    let (code, told) = runs(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{told}");
    let number = |site: &str| {
        let line = told.lines().find(|line| line.starts_with(site)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(number("www.shop.example"), number("tea.shop.example"));
    assert_eq!(number("other.example"), "1");
    assert_ne!(number("www.shop.example"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_nobody_knows_is_no_vendor_of_a_site() {
    let origin = origin().page("/", PAGE).start().await;
    let refused = consentry(&origin).site("vendors = ['acme-stat']").try_start().await;
    let said = refused.err().unwrap();
    assert!(said.contains("`acme-stat`") && said.contains("did you mean `acme-stats`?"), "{said}");
}
