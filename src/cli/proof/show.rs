//! Puts a proof into words, or into JSON.

use crate::cli::proof::Proof;
use crate::cli::proof::words;
use crate::ledger::consent_record::time;
use crate::ledger::receipt::{Act, Layer, Method, Receipt, TextHash, UNSEEN, hex};
use crate::ledger::{Notice, plain};
use crate::purpose::Purpose;

use serde_json::{Value, json};
use std::fmt::Write;

const DAY_S: u64 = 24 * 60 * 60;

/// A proof as somebody reads it.
pub(super) fn words(proof: &Proof) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    write_words(proof, &mut text).ok();
    text
}

fn write_words(proof: &Proof, text: &mut String) -> std::fmt::Result {
    let receipt = &proof.receipt;
    writeln!(text, "receipt  {}", receipt.number)?;
    writeln!(text, "site     {}", plain::text(&receipt.site))?;
    writeln!(text, "when     {}", time(receipt.time_ms))?;
    writeln!(text, "what     {}: {}", receipt.act.name(), act(receipt.act))?;
    writeln!(text, "where    {}: {}", receipt.method.name(), place(receipt.method))?;
    let gpc = if receipt.gpc { "the browser sent it" } else { "the browser did not send it" };
    writeln!(text, "GPC      {gpc}")?;
    writeln!(text, "counts   for {} days", receipt.valid_s / DAY_S)?;
    writeln!(text, "\npurposes")?;
    for purpose in Purpose::OPTIONAL {
        writeln!(text, "  {:<16} {}", purpose.name(), word(receipt, purpose))?;
    }
    for (vendors, word) in
        [(&receipt.vendors_allowed, "agreed"), (&receipt.vendors_refused, "refused")]
    {
        for vendor in vendors {
            writeln!(text, "  vendor {}  {word}", plain::text(vendor))?;
        }
    }
    for (layer, notice, hash) in [
        (Layer::First, &proof.notice, &receipt.notice),
        (Layer::Choices, &proof.choices, &receipt.choices),
    ] {
        write_notice(layer, notice.as_ref(), hash, receipt, text)?;
    }
    text.truncate(text.trim_end().len());
    Ok(())
}

fn write_notice(
    layer: Layer,
    notice: Option<&Notice>,
    hash: &TextHash,
    receipt: &Receipt,
    text: &mut String,
) -> std::fmt::Result {
    writeln!(text, "\n{}", layer.name())?;
    writeln!(
        text,
        "  revision {}, language {}",
        receipt.notice_revision,
        plain::text(&receipt.language)
    )?;
    if *hash == UNSEEN {
        return writeln!(text, "  not recorded: they answered on a page with another revision");
    }
    writeln!(text, "  sha256 {}", hex(hash))?;
    let Some(notice) = notice else { return writeln!(text, "  not in the archive") };
    writeln!(text, "  first there {}\n", time(notice.time_ms))?;
    for line in words::words(&notice.html) {
        writeln!(text, "  | {}", plain::text(&line))?;
    }
    Ok(())
}

/// A proof for programs.
pub(super) fn json(proof: &Proof) -> Value {
    let receipt = &proof.receipt;
    let notice = |notice: &Option<Notice>, hash: &TextHash| {
        json!({
            "sha256": (*hash != UNSEEN).then(|| hex(hash)),
            "first_there": notice.as_ref().map(|notice| time(notice.time_ms)),
            "text": notice.as_ref().map(|notice| words::words(&notice.html)),
        })
    };
    let purposes: serde_json::Map<String, Value> = Purpose::OPTIONAL
        .into_iter()
        .map(|purpose| (purpose.name().to_owned(), word(receipt, purpose).into()))
        .collect();
    json!({
        "receipt": receipt.number.to_string(),
        "site": receipt.site,
        "time": time(receipt.time_ms),
        "act": receipt.act.name(),
        "method": receipt.method.name(),
        "gpc": receipt.gpc,
        "valid_s": receipt.valid_s,
        "purposes": purposes,
        "vendors_allowed": receipt.vendors_allowed,
        "vendors_refused": receipt.vendors_refused,
        "notice_revision": receipt.notice_revision,
        "language": receipt.language,
        "notice": notice(&proof.notice, &receipt.notice),
        "choices": notice(&proof.choices, &receipt.choices),
    })
}

const fn word(receipt: &Receipt, purpose: Purpose) -> &'static str {
    if receipt.granted.contains(purpose) {
        "agreed"
    } else if receipt.asked.contains(purpose) {
        "refused"
    } else {
        "not asked"
    }
}

const fn act(act: Act) -> &'static str {
    match act {
        Act::Accept => "the visitor agreed to everything that was asked",
        Act::Refuse => "the visitor agreed to nothing that was asked",
        Act::Partial => "the visitor agreed to some of what was asked",
        Act::Withdraw => "the visitor took back something they had agreed to before",
        Act::Vendor => "the visitor decided about one service; the purposes stayed as they were",
    }
}

const fn place(method: Method) -> &'static str {
    match method {
        Method::Notice => "on the notice",
        Method::Choices => "on the page of choices",
        Method::Me => "on the page about their own choice",
        Method::Script => "by a script of the site",
        Method::Bridge => "by another consent tool on the site",
        Method::Placeholder => "on what stood where something was withheld",
        Method::Form => "by a form that did not say where it stood",
    }
}
