//! Who was met.

use crate::dashboard::chart::{self, Bar};
use crate::dashboard::layout;
use crate::dashboard::office::Context;
use crate::dashboard::pages::asked::{Asked, figures, site_names};
use crate::dashboard::pages::show::{day, number, vendor};
use crate::dashboard::pages::stewards::{self, Stewards};
use crate::ledger::figures::vendors::OfVendor;

use axum::extract::RawQuery;
use axum::response::Response;
use maud::{Markup, html};

/// The page.
pub(in crate::dashboard) async fn page(context: Context, RawQuery(query): RawQuery) -> Response {
    let asked = Asked::read(query.as_deref());
    let (period, site) = (asked.period, asked.site.clone());
    let found = figures(&context, move |figures| {
        Ok((site_names(figures, period)?, figures.vendors(period, site.as_deref())?))
    });
    match found.await {
        Ok((sites, vendors)) => {
            let stewards = stewards::of(&context);
            let body = html! {
                (asked.form("/vendors", &sites, &html! {}))
                (table(&asked, &vendors, &stewards))
            };
            layout::page(&context.session, "Vendors", "/vendors", &body)
        }
        Err(response) => response,
    }
}

fn table(asked: &Asked, vendors: &[OfVendor], stewards: &Stewards) -> Markup {
    let all = |of: &OfVendor| of.parts.withheld + of.parts.would_withhold + of.parts.let_through;
    let most = vendors.iter().map(all).max().unwrap_or(0);
    let nobodys = vendors
        .iter()
        .filter(|of| !of.vendor_id.is_empty() && stewards.owned(&of.vendor_id).next().is_none())
        .count();
    html! {
        @if vendors.is_empty() { p { "No vendor was met in this time." } } @else {
            @if nobodys > 0 {
                p.warning { "Nobody answers for " @if nobodys == 1 { "one vendor" } @else { (nobodys) " vendors" } " here. Open one to say who does, and why it is used." }
            }
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "Vendor" } th scope="col" { "Who answers for it" } th scope="col" { "Purposes" }
                        th.number scope="col" { "Held back" } th.number scope="col" { "Would have been" } th.number scope="col" { "Let through" } th scope="col" { "Share" } th scope="col" { "First met" } th scope="col" { "Last met" }
                    } }
                    tbody {
                        @for of in vendors {
                            @let id = if of.vendor_id.is_empty() { "?" } else { &of.vendor_id };
                            @let bar = Bar { label: of.vendor.clone(), withheld: of.parts.withheld, would_withhold: of.parts.would_withhold, let_through: of.parts.let_through };
                            tr {
                                th scope="row" { a href=(asked.link("/vendor", &[("id", id)])) { (vendor(&of.vendor)) } }
                                td { (stewards.in_short(&of.vendor_id)) }
                                td { (of.purposes.join(", ")) }
                                td.number { (number(of.parts.withheld)) }
                                td.number { (number(of.parts.would_withhold)) }
                                td.number { (number(of.parts.let_through)) }
                                td { (chart::in_row(&bar, most)) }
                                td { @if let Some(time) = of.first_ms { (day(time)) } }
                                td { @if let Some(time) = of.last_ms { (day(time)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
