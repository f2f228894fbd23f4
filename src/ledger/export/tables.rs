//! The tables that can be taken out, and how their rows are made.

use super::Cell::{self, Number, Text, Truth};
use super::Holds::{MaybeText, Number as Numbers, Text as Texts, Time, Truth as Truths};
use super::Table;
use crate::ledger::audit::Audited;
use crate::ledger::read::{Gap, Line};
use crate::ledger::receipt::hex;
use crate::ledger::{Receipt, read};
use crate::purpose::{Purpose, PurposeSet};

/// The decisions of entries: the block log and what was let through.
pub const DECISIONS: Table = Table {
    name: "decisions",
    columns: &[
        ("entry", Numbers),
        ("time", Time),
        ("time_ms", Numbers),
        ("site", Texts),
        ("page", Texts),
        ("class", Texts),
        ("undecided", Truths),
        ("signal", Texts),
        ("verdict", Texts),
        ("reason", Texts),
        ("layer", Texts),
        ("kind", Texts),
        ("what", Texts),
        ("vendor", MaybeText),
        ("vendor_id", MaybeText),
        ("purpose", MaybeText),
        ("rule", MaybeText),
        ("via", MaybeText),
        ("mode", Texts),
        ("policy_revision", Texts),
    ],
};

/// Hands the row of a decision to `take`.
pub fn decision<T>(line: &Line, take: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    let text = |text| Text(Some(text));
    take(&[
        Number(line.entry),
        Number(read::stored(line.time_ms)),
        Number(read::stored(line.time_ms)),
        text(&line.site),
        text(&line.page),
        text(&line.class),
        Truth(line.undecided),
        text(&line.signal),
        text(&line.verdict),
        text(&line.reason),
        text(&line.layer),
        text(&line.kind),
        text(&line.what),
        Text(line.vendor.as_deref()),
        Text(line.vendor_id.as_deref()),
        Text(line.purpose.as_deref()),
        Text(line.rule.as_deref()),
        Text(line.via.as_deref()),
        text(&line.mode),
        text(&line.policy_revision),
    ])
}

/// What visitors chose.
pub const RECEIPTS: Table = Table {
    name: "receipts",
    columns: &[
        ("number", Texts),
        ("time", Time),
        ("time_ms", Numbers),
        ("site", Texts),
        ("act", Texts),
        ("method", Texts),
        ("gpc", Truths),
        ("granted", Texts),
        ("asked", Texts),
        ("vendors_allowed", Texts),
        ("vendors_refused", Texts),
        ("notice_revision", Numbers),
        ("notice_sha256", Texts),
        ("choices_sha256", Texts),
        ("language", Texts),
        ("valid_s", Numbers),
    ],
};

/// Hands the row of a receipt to `take`.
pub fn receipt<T>(receipt: &Receipt, take: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    let number = receipt.number.to_string();
    let (granted, asked) = (purposes(receipt.granted), purposes(receipt.asked));
    let (allowed, refused) = (receipt.vendors_allowed.join(" "), receipt.vendors_refused.join(" "));
    let (notice, choices) = (hex(&receipt.notice), hex(&receipt.choices));
    let text = |text| Text(Some(text));
    take(&[
        text(&number),
        Number(read::stored(receipt.time_ms)),
        Number(read::stored(receipt.time_ms)),
        text(&receipt.site),
        text(receipt.act.name()),
        text(receipt.method.name()),
        Truth(receipt.gpc),
        text(&granted),
        text(&asked),
        text(&allowed),
        text(&refused),
        Number(receipt.notice_revision.into()),
        text(&notice),
        text(&choices),
        text(&receipt.language),
        Number(read::stored(receipt.valid_s)),
    ])
}

fn purposes(set: PurposeSet) -> String {
    let names: Vec<_> = Purpose::ALL
        .into_iter()
        .filter(|purpose| set.contains(*purpose))
        .map(Purpose::name)
        .collect();
    names.join(" ")
}

/// What people did with consentry.
pub const AUDITS: Table = Table {
    name: "audits",
    columns: &[
        ("id", Numbers),
        ("time", Time),
        ("time_ms", Numbers),
        ("who", Texts),
        ("role", Texts),
        ("act", Texts),
        ("about", Texts),
        ("detail", Texts),
    ],
};

/// Hands the row of an audit entry to `take`.
pub fn audit<T>(audited: &Audited, take: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    let audit = &audited.audit;
    let detail = audit.detail.to_string();
    let text = |text| Text(Some(text));
    take(&[
        Number(audited.id),
        Number(read::stored(audit.time_ms)),
        Number(read::stored(audit.time_ms)),
        text(&audit.who),
        text(&audit.role),
        text(&audit.act),
        text(&audit.about),
        text(&detail),
    ])
}

/// What is missing.
pub const GAPS: Table = Table {
    name: "gaps",
    columns: &[
        ("time", Time),
        ("time_ms", Numbers),
        ("since", Time),
        ("since_ms", Numbers),
        ("lost", Numbers),
        ("why", Texts),
    ],
};

/// Hands the row of a gap to `take`.
pub fn gap<T>(gap: &Gap, take: impl FnOnce(&[Cell<'_>]) -> T) -> T {
    take(&[
        Number(read::stored(gap.time_ms)),
        Number(read::stored(gap.time_ms)),
        Number(read::stored(gap.since_ms)),
        Number(read::stored(gap.since_ms)),
        Number(read::stored(gap.lost)),
        Text(Some(&gap.why)),
    ])
}
