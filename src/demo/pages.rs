//! The pages of the shop.

use crate::demo::goods::{TEAS, Tea, euros};
use crate::demo::layout::page;
use crate::demo::tags::Tags;
use crate::demo::visit::Visit;

use maud::{Markup, PreEscaped, html};

/// The home page: the same for everybody, or rearranged for this visitor.
pub(super) fn home(visit: &Visit, tags: &Tags) -> Markup {
    let mut teas: Vec<&Tea> = TEAS.iter().collect();
    if visit.personal {
        teas.sort_by_key(|tea| tea.family != "Green tea");
    }
    let strip = html! {
        @if visit.personal {
            aside #personal {
                strong { "Welcome back!" }
                " Because you looked at green tea, we put what you may like next in front."
            }
        }
    };
    let main = html! {
        section.hero {
            div {
                p.eyebrow { "The spring harvest is in" }
                h1 { "Put the kettle on. We brought the leaves." }
                p.lead {
                    "Six teas at a time, each from a garden we have walked through, "
                    "and packed the day you order."
                }
                a.button href="#teas" data-experiment="hero" { "Find your tea" }
            }
            img src="/pictures/kettle.svg" width="520" height="420" alt="A kettle on a stove, steaming";
        }
        section #teas {
            @if visit.personal {
                h2 { "Picked for you" }
                p.sub { "Your kind of green first, then the rest of the shelf." }
            } @else {
                h2 { "Our most popular teas" }
                p.sub { "What went over the counter most often this month." }
            }
            ul.shelf { @for tea in teas { (card(tea)) } }
        }
        section.promises {
            div { h3 { "Known by name" } p { "Every tin says who grew it, where, and in which week it was picked." } }
            div { h3 { "Fresh, then gone" } p { "We buy little and often. When a harvest is sold, it is sold." } }
            div { h3 { "Tins that last" } p { "Bring one back to any of our shops and the refill costs a euro less." } }
        }
    };
    page("Tea worth the wait", visit, tags, &strip, &main)
}

fn card(tea: &Tea) -> Markup {
    html! {
        li.card {
            a href={ "/product/" (tea.slug) } {
                img src={ "/pictures/" (tea.slug) ".svg" } width="400" height="320" alt="";
                span.family { (tea.family) }
                h3 { (tea.name) }
                p { (tea.line) }
            }
            div.buy { span.price { (tea.price()) } (add_button(tea)) }
        }
    }
}

fn add_button(tea: &Tea) -> Markup {
    html! {
        form method="post" action="/cart" {
            button.button type="submit" name="tea" value=(tea.slug) aria-label={ "Add " (tea.name) " to the cart" } {
                "Add"
            }
        }
    }
}

/// One tea.
pub(super) fn product(tea: &Tea, visit: &Visit, tags: &Tags) -> Markup {
    let main = html! {
        section.product {
            img src={ "/pictures/" (tea.slug) ".svg" } width="560" height="448" alt={ "A tin of " (tea.name) };
            div {
                span.family { (tea.family) }
                h1 { (tea.name) }
                p.lead { (tea.line) }
                p { (tea.story) }
                p.brewing { strong { "How to brew it. " } (tea.brewing) }
                div.buy { span.price { (tea.price()) " " small { "for 100 g" } } (add_button(tea)) }
            }
        }
        section {
            h2 { "Also on the shelf" }
            ul.shelf { @for other in TEAS.iter().filter(|other| *other != tea).take(3) { (card(other)) } }
        }
    };
    page(tea.name, visit, tags, &html! {}, &main)
}

/// The cart, and the form that orders it.
pub(super) fn checkout(visit: &Visit, tags: &Tags) -> Markup {
    let total = visit.cart.iter().map(|tea| tea.price_cents).sum();
    let main = html! {
        h1 { "Your cart" }
        section.checkout {
            form.order method="post" action="/checkout" {
                label { "Name" input name="name" autocomplete="name" required; }
                label { "E-mail" input name="email" type="email" autocomplete="email" required; }
                label { "Address" textarea name="address" rows="3" autocomplete="street-address" required {} }
                button.button type="submit" { "Place the order" }
                p.sub { "Nothing is charged: this shop is made up." }
            }
            div.cart-list {
                @if visit.cart.is_empty() {
                    p { "There is nothing in it yet. " a href="/#teas" { "Have a look at the shelf." } }
                }
                ul {
                    @for tea in &visit.cart {
                        li {
                            img src={ "/pictures/" (tea.slug) ".svg" } width="80" height="64" alt="";
                            span { (tea.name) }
                            span.price { (tea.price()) }
                        }
                    }
                }
                p.total { span { "Together" } span.price { (euros(total)) } }
            }
        }
    };
    page("Checkout", visit, tags, &html! {}, &main)
}

/// What a visitor sees who ordered; a conversion tag waits here.
pub(super) fn thanks(visit: &Visit, tags: &Tags) -> Markup {
    let main = html! {
        section.note {
            h1 { "Thank you!" }
            p.lead { "Your order KL-2048 is being packed." }
            p #receipt { "Your receipt comes by e-mail within the hour." }
            a.button href="/" { "Back to the shop" }
        }
        (PreEscaped(&tags.purchase))
    };
    page("Thank you", visit, tags, &html! {}, &main)
}

/// Where the shops are: a map and a video from other hosts.
pub(super) fn stores(visit: &Visit, tags: &Tags) -> Markup {
    let main = html! {
        h1 { "Our shops" }
        section.stores {
            div {
                h2 { "Come by for a cup" }
                (PreEscaped(&tags.map))
                dl {
                    dt { "Harbour Street 12" } dd { "Monday to Saturday, 9 to 18" }
                    dt { "Old Market 3" } dd { "Tuesday to Sunday, 10 to 19" }
                }
            }
            div {
                h2 { "How to brew sencha" }
                (PreEscaped(&tags.video))
                p { "Seventy degrees, one minute, and pour to the last drop. Ana shows how in under two minutes." }
            }
        }
    };
    page("Our shops", visit, tags, &html! {}, &main)
}

/// For addresses that are not in the shop.
pub(super) fn not_found(visit: &Visit, tags: &Tags) -> Markup {
    let main = html! {
        section.note {
            h1 { "This shelf is empty" }
            p.lead { "We looked, and there is no such page." }
            a.button href="/" { "Back to the shop" }
        }
    };
    page("Not found", visit, tags, &html! {}, &main)
}
