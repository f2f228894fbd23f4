//! The report as one table: a figure a row, harmless in every spreadsheet.

use crate::cli::report::gather::{Report, stamp};
use crate::ledger::plain;

/// The table; `figures` is the hash of the same as JSON.
pub(super) fn table(report: &Report, figures: &str) -> Result<Vec<u8>, csv::Error> {
    let mut rows = Rows(csv::Writer::from_writer(Vec::new()));
    rows.row(["section", "site", "name", "figure", "value"])?;
    let period = format!("{} to {}", report.first_day, report.last_day);
    rows.row(["report", report.site.as_deref().unwrap_or("all"), "period", "days", &period])?;
    rows.row(["report", "", "figures", "sha256", figures])?;
    let proof = &report.rests_on;
    let holds = if proof.holds { "yes" } else { "no" };
    rows.row(["report", "", "ledger", "verifies", holds])?;
    rows.row(["report", "", "checkpoint", "signed", proof.signed.as_deref().unwrap_or("never")])?;
    for choices in &report.choices {
        let name = format!("notice revision {}", choices.notice_revision);
        for (figure, value) in [
            ("choices", choices.all),
            ("accepted", choices.accept),
            ("refused", choices.refuse),
            ("partly", choices.partial),
            ("withdrawn", choices.withdraw),
            ("about one vendor", choices.vendor),
            ("with Global Privacy Control", choices.gpc),
        ] {
            rows.row(["choices", &choices.site, &name, figure, &value.to_string()])?;
        }
    }
    let views = &report.overview.views;
    for (figure, value) in [
        ("views", views.all),
        ("of undecided visitors", views.undecided),
        ("decided by Global Privacy Control", views.gpc),
        ("only observed", views.observed),
    ] {
        rows.row(["views", "", "page views on record", figure, &value.to_string()])?;
    }
    for vendor in &report.vendors {
        let name = if vendor.id.is_empty() { "(nobody claims it)" } else { &vendor.name };
        for (figure, value) in [
            ("withheld", vendor.withheld),
            ("would be withheld", vendor.would_withhold),
            ("let through", vendor.let_through),
        ] {
            rows.row(["vendor", "", name, figure, &value.to_string()])?;
        }
        rows.row(["vendor", "", name, "purposes", &vendor.purposes.join(" ")])?;
        rows.row(["vendor", "", name, "owner", vendor.owner.as_deref().unwrap_or("nobody")])?;
        for page in &vendor.pages {
            let figure = format!("withheld on {}", page.page);
            rows.row(["vendor page", &page.site, name, &figure, &page.withheld.to_string()])?;
        }
    }
    for new in &report.newcomers {
        let what = format!("new {}", new.sort);
        rows.row(["change", &new.site, &new.name, &what, &new.first_seen])?;
    }
    for policy in &report.policies {
        let first = stamp(policy.first_ms);
        rows.row(["change", &policy.site, &policy.revision, "policy since", &first])?;
    }
    for audited in &report.audits {
        let audit = &audited.audit;
        let value = format!("{} {} {}", stamp(audit.time_ms.cast_signed()), audit.who, audit.about);
        rows.row(["change", "", &audit.act, "by", &value])?;
    }
    for (name, count) in [("new", report.newcomers_left_out), ("by people", report.audits_left_out)]
    {
        if count > 0 {
            rows.row(["change", "", name, "not named here", &count.to_string()])?;
        }
    }
    for exception in &report.exceptions {
        rows.row(["exception", &exception.site, &exception.what, "owner", &exception.owner])?;
        rows.row(["exception", &exception.site, &exception.what, "until", &exception.expires])?;
    }
    for gap in &report.gaps {
        rows.row(["gap", "", &gap.why, "entries lost", &gap.lost.to_string()])?;
    }
    rows.0.into_inner().map_err(|error| error.into_error().into())
}

struct Rows(csv::Writer<Vec<u8>>);

impl Rows {
    fn row(&mut self, cells: [&str; 5]) -> Result<(), csv::Error> {
        self.0.write_record(cells.map(plain::cell).iter().map(|cell| cell.as_bytes()))
    }
}
