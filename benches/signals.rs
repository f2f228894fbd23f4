//! What it costs to hear what a visitor wants.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "criterion's macros")]

use consentry::consent::{
    Keys, ReceiptId, Record, Regions, Settings, Signals, VendorChoices, read,
};
use consentry::purpose::PurposeSet;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue};
use std::hint::black_box;

const NOW_S: u64 = 1_790_000_000;
const TCF: &str = "CQq3yQAQq3yQAAAAAAAAAAFgAPMAAAAAAAAAF5wAwAaABbAXmAAAAA.IAtwAwAaABMAC2";
const ONETRUST: &str = "isGpcEnabled=0&datestamp=Tue+Sep+01+2026+10%3A00%3A00+GMT%2B0100&\
    version=202409.1.0&hosts=&landingPath=NotLandingPage&groups=C0001%3A1%2CC0002%3A1%2CC0003%3A0%2CC0004%3A0&\
    AwaitingReconsent=false&geolocation=AR%3BC";

fn signals(c: &mut Criterion) {
    let settings = Settings {
        keys: Keys::from_secret([1; 32]),
        lifetime_s: 180 * 86_400,
        notice_revision: 1,
        same_as: Vec::new(),
        signals: Signals::default(),
        regions: Regions::default(),
    };
    let record = Record {
        granted: PurposeSet::ALL,
        decided: PurposeSet::ALL,
        made_under_gpc: false,
        after_doubt: false,
        notice_revision: 1,
        time_s: NOW_S - 86_400,
        receipt: ReceiptId::new([7; 16]),
        vendors: VendorChoices::default(),
    };
    let own = format!("sid=7f81; consentry={}", settings.keys.sign("shop", &record));
    let tcf = format!("sid=7f81; euconsent-v2={TCF}");
    let tool = format!(
        "sid=7f81; OptanonConsent={ONETRUST}; OptanonAlertBoxClosed=2026-09-01T09:00:00.000Z"
    );
    let mut group = c.benchmark_group("signals");
    for (name, fields, is_heard) in [
        ("silence", vec![("cookie", "sid=7f81; lang=en")], false),
        ("gpc", vec![("sec-gpc", "1")], true),
        ("own_choice", vec![("cookie", own.as_str())], true),
        ("tcf", vec![("cookie", tcf.as_str())], true),
        ("onetrust", vec![("cookie", tool.as_str())], true),
    ] {
        let mut headers = HeaderMap::new();
        for (field, value) in fields {
            headers.append(field, HeaderValue::from_str(value).unwrap());
        }
        let consent = read(&headers, &["consentry"], "shop", &settings, NOW_S);
        assert_eq!(consent.source() != consentry::consent::Source::Silence, is_heard, "{name}");
        group.bench_function(name, |b| {
            b.iter(|| read(black_box(&headers), &["consentry"], "shop", &settings, NOW_S));
        });
    }
    group.finish();
}

criterion_group!(benches, signals);
criterion_main!(benches);
