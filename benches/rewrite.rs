//! What rewriting a page costs, next to what any HTML parser costs.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench may fail loudly")]
#![allow(clippy::allow_attributes, reason = "criterion's macros")]

mod pages;

use consentry::enforce::html::Rewriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;

fn rewrite(c: &mut Criterion) {
    let page = pages::page();
    let context = pages::context();
    let mut group = c.benchmark_group("rewrite_100k");
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("parser_alone", |b| {
        b.iter(|| {
            let mut length = 0;
            let mut rewriter =
                lol_html::HtmlRewriter::new(lol_html::Settings::new(), |chunk: &[u8]| {
                    length += chunk.len()
                });
            rewriter.write(page.as_bytes()).unwrap();
            rewriter.end().unwrap();
            length
        });
    });
    group.bench_function("consentry", |b| {
        b.iter(|| {
            let mut rewriter = Rewriter::new(Arc::clone(&context), encoding_rs::UTF_8);
            let first = rewriter.write(page.as_bytes()).unwrap();
            first.len() + rewriter.finish().unwrap().len()
        });
    });
    group.finish();
}

criterion_group!(benches, rewrite);
criterion_main!(benches);
