//! What every page of the shop has around it: head, masthead, footer, tags.

use crate::demo::tags::Tags;
use crate::demo::visit::Visit;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// One page, ready to send; `below_masthead` spans the whole width.
pub(super) fn page(
    title: &str,
    visit: &Visit,
    tags: &Tags,
    below_masthead: &Markup,
    main: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Kettle & Leaf" }
                meta name="description" content="Tea from people we know, in tins worth keeping.";
                link rel="icon" type="image/svg+xml" href="/logo.svg";
                link rel="stylesheet" href="/shop.css";
                (PreEscaped(&tags.head))
            }
            body {
                (PreEscaped(&tags.body_start))
                (masthead(visit))
                (below_masthead)
                main { (main) }
                (footer())
                script src="/shop.js" defer {}
                (PreEscaped(&tags.body_end))
            }
        }
    }
}

fn masthead(visit: &Visit) -> Markup {
    html! {
        p.ribbon { "Free delivery from €30 · Packed by hand on the day you order" }
        header.masthead {
            a.brand href="/" {
                img src="/logo.svg" width="44" height="44" alt="";
                span { "Kettle & Leaf" }
            }
            nav aria-label="Main" {
                a href="/#teas" { "Teas" }
                a href="/stores" { "Our shops" }
                a.cart href="/checkout" {
                    "Cart " span.count data-cart-count { (visit.cart.len()) }
                }
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            div {
                strong { "Kettle & Leaf" }
                p { "Tea from people we know, in tins worth keeping." }
            }
            div {
                strong { "Visit us" }
                p { a href="/stores" { "Shops and opening hours" } }
            }
            div {
                strong { "About this shop" }
                p { "It is made up, to try consentry on. Nothing is sold, and no vendor is ever contacted." }
            }
        }
    }
}
