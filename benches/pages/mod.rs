//! A page such as shops have: about 100 KB, a thousand elements, twenty tags of
//! vendors and four inline snippets.

use consentry::catalogue::{Catalogue, SourceFile};
use consentry::consent::Consent;
use consentry::enforce::html::PageContext;
use consentry::policy::{Policy, Unlisted};
use std::sync::Arc;
use url::Url;

const TAGS: [&str; 10] = [
    "<script async src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script>",
    "<script src=\"https://connect.facebook.net/en_US/fbevents.js\"></script>",
    "<script src=\"https://static.hotjar.com/c/hotjar-1.js\"></script>",
    "<noscript><img height=1 width=1 src=\"https://www.facebook.com/tr?id=1&ev=PageView\"></noscript>",
    "<link rel=\"stylesheet\" href=\"https://fonts.googleapis.com/css?family=Inter\">",
    "<script src=\"https://bat.bing.com/bat.js\"></script>",
    "<script>!function(f,b){f.fbq=function(){};b.createElement('script').src='https://connect.facebook.net/en_US/fbevents.js'}(window,document);fbq('init','1');</script>",
    "<iframe width=560 height=315 src=\"https://www.youtube.com/embed/x\"></iframe>",
    "<script>window.dataLayer=window.dataLayer||[];function gtag(){dataLayer.push(arguments)}gtag('js',new Date());gtag('config','G-1');</script>",
    "<script src=\"https://static.klaviyo.com/onsite/js/klaviyo.js\"></script>",
];

/// The page.
pub(crate) fn page() -> String {
    let mut html = String::from(
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><title>Shop</title></head><body>",
    );
    let mut product = 0;
    while html.len() < 98_000 {
        if product % 12 == 0
            && let Some(tag) = TAGS.get(product / 12 % TAGS.len())
        {
            html.push_str(tag);
        }
        html.push_str(&format!(
            "<div class=\"card card--wide\" id=\"p{product}\"><a href=\"/product/{product}\" class=\"card__link\" title=\"Tea\">\
             <img src=\"/img/{product}.jpg\" srcset=\"/img/{product}.jpg 1x, /img/{product}@2x.jpg 2x\" alt=\"Tea {product}\" width=320 height=240>\
             <h3>Tea number {product}</h3></a><p>Grown on a hillside, picked by hand, and packed on the day you order it.</p>\
             <span class=price>\u{20ac}{product}.90</span><button type=button data-id=\"{product}\">Add to cart</button></div>\n"
        ));
        product += 1;
    }
    html.push_str("<script src=\"/shop.js\" defer></script></body></html>");
    html
}

/// What the page is judged by: the embedded catalogue, nothing granted.
pub(crate) fn context() -> Arc<PageContext> {
    let catalogue = Catalogue::compile(&SourceFile::embedded()).unwrap();
    Arc::new(PageContext {
        policy: Policy::new(Arc::new(catalogue), Unlisted::Observe, &[]).into(),
        consent: Consent::silent(),
        before: None,
        host: "shop.example".to_owned(),
        url: Url::parse("https://shop.example/").unwrap(),
        enforcing: true,
        guarded: false,
        placeholders: consentry::enforce::html::Placeholders::plain("/.consentry/choices"),
        appended: String::new(),
        opening: None,
        memory_bytes: 8 * 1024 * 1024,
        others: consentry::enforce::html::OtherTools::default(),
    })
}
