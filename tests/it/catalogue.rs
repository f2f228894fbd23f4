//! The built-in catalogue: what it claims, and what it leaves alone.

use consentry::catalogue::{Catalogue, EMBEDDED, Kind, SourceFile, Subject};
use consentry::purpose::Purpose::{self, Analytics, Functional, Marketing, Necessary};

use std::collections::HashMap;
use std::sync::LazyLock;
use url::Url;

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::compile(&SourceFile::embedded()).unwrap());

/// The main purpose of whoever claims an address.
fn purpose(kind: Kind, address: &str) -> Option<Purpose> {
    let url = Url::parse(&format!("https://{address}")).unwrap();
    CATALOGUE.identify(Subject::Load { kind, url: &url }).map(|identity| identity.vendor.purpose)
}

/// Whose each piece of inline code is.
fn inline(code: &str) -> Vec<&'static str> {
    CATALOGUE
        .identify_inline_all(code.as_bytes())
        .map(|identity| identity.vendor.id.as_str())
        .collect()
}

#[test]
fn what_is_content_on_a_vendors_host_is_nobodys() {
    for (kind, address) in [
        (Kind::Image, "img2.zergnet.com/1381153_300.jpg"),
        (Kind::Image, "secure.gravatar.com/avatar/0?s=60"),
        (Kind::Image, "pbs.twimg.com/profile_images/1/a.jpg"),
        (Kind::Image, "i.ebayimg.com/thumbs/images/g/a/s-l200.jpg"),
        (Kind::Image, "images-na.ssl-images-amazon.com/images/I/a.jpg"),
        (Kind::Image, "scontent.cdninstagram.com/v/a.jpg"),
        (Kind::Style, "s3.amazonaws.com/assets.freshdesk.com/widget/freshwidget.css"),
        (Kind::Style, "open.spotifycdn.com/cdn/build/web-player/web-player.css"),
        (Kind::Style, "cdn-images.mailchimp.com/embedcode/slim-10_7.css"),
        (Kind::Script, "s3.amazonaws.com/downloads.mailchimp.com/js/mc-validate.js"),
        (Kind::Script, "s3.amazonaws.com/somebody/app.js"),
        (Kind::Script, "ajax.googleapis.com/ajax/libs/jquery/3.7.1/jquery.min.js"),
        (Kind::Script, "ajax.googleapis.com/ajax/libs/webfont/1.6.26/webfont.js"),
        (Kind::Script, "cdnjs.cloudflare.com/ajax/libs/lodash.js/4.17.21/lodash.min.js"),
        (Kind::Script, "cdn.jsdelivr.net/npm/swiper@11/swiper-bundle.min.js"),
        (Kind::Script, "unpkg.com/alpinejs@3/dist/cdn.min.js"),
        (Kind::Script, "cdn.shopify.com/s/files/1/0001/t/1/assets/theme.js"),
        (Kind::Script, "www.gstatic.com/cast/sdk/libs/sender/1.0/cast_framework.js"),
        (Kind::Script, "cdn.luigisbox.com/autocomplete.js"),
        (Kind::Script, "cdn.printfriendly.com/printfriendly.js"),
        (Kind::Connect, "www.googleapis.com/books/v1/volumes"),
    ] {
        assert_eq!(purpose(kind, address), None, "{address}");
    }
}

#[test]
fn what_a_visitor_needs_is_necessary() {
    for (kind, address) in [
        (Kind::Script, "fundingchoicesmessages.google.com/i/pub-1?ers=1"),
        (Kind::Script, "cdn.cookielaw.org/scripttemplates/otSDKStub.js"),
        (Kind::Script, "cdn.opencmp.net/tcf-v2/cmp-stub-latest.js"),
        (Kind::Script, "the.gatekeeperconsent.com/cmp.min.js"),
        (Kind::Script, "steadyhq.com/widget_loader/1"),
        (Kind::Script, "cdn.weglot.com/weglot.min.js"),
        (Kind::Script, "www.google.com/recaptcha/api.js"),
        (Kind::Script, "js.stripe.com/v3/"),
    ] {
        assert_eq!(purpose(kind, address), Some(Necessary), "{address}");
    }
}

#[test]
fn what_a_visitor_sees_of_others_is_functional() {
    for (kind, address) in [
        (Kind::Frame, "www.youtube.com/embed/x"),
        (Kind::Frame, "open.spotify.com/embed/track/x"),
        (Kind::Frame, "www.facebook.com/plugins/video.php"),
        (Kind::Script, "maps.googleapis.com/maps/api/js"),
        (Kind::Script, "apis.google.com/js/platform.js"),
        (Kind::Script, "accounts.google.com/gsi/client"),
        (Kind::Style, "fonts.googleapis.com/css2"),
        (Kind::Script, "f.convertkit.com/ckjs/ck.5.js"),
    ] {
        assert_eq!(purpose(kind, address), Some(Functional), "{address}");
    }
}

#[test]
fn trackers_of_every_region_are_known() {
    for (kind, address, expected) in [
        (Kind::Script, "c.bigmir.net/?o1&v1", Analytics),
        (Kind::Script, "i.holder.com.ua/t/holder.js", Marketing),
        (Kind::Script, "mod.calltouch.ru/init.js", Analytics),
        (Kind::Script, "jsn.24smi.net/smi.js", Marketing),
        (Kind::Script, "omt.shinobi.jp/b/1", Analytics),
        (Kind::Script, "l.logly.co.jp/lift_widget.js", Marketing),
        (Kind::Script, "gtb.acecounter.com:8080/ac.js", Analytics),
        (Kind::Script, "t1.daumcdn.net/kas/static/ba.min.js", Marketing),
        (Kind::Script, "g.alicdn.com/alilog/mlog/aplus_v2.js", Analytics),
        (Kind::Script, "sun.advividnetwork.com/include_code/1.js", Marketing),
        (Kind::Script, "media1.admicro.vn/core/admcore.js", Marketing),
        (Kind::Script, "static.clmbtech.com/ase/1/aa.js", Marketing),
        (Kind::Image, "vg05.met.vgwort.de/na/1", Analytics),
        (Kind::Script, "cdn-a.yieldlove.com/yieldlove-bidder.js", Marketing),
        (Kind::Script, "boot.pbstck.com/v1/tag/1", Marketing),
        (Kind::Script, "www.mainadv.com/Visibility/Rtgtd2-min.js", Marketing),
        (Kind::Script, "static.sunmedia.tv/integrations/1/1", Marketing),
        (Kind::Script, "adserver.latinon.com/revive/www/delivery/asyncjs.php", Marketing),
        (Kind::Script, "tm.jsuol.com.br/uoltm.js", Marketing),
        (Kind::Script, "system.saremail.com/x.js", Marketing),
        (Kind::Image, "toplist.sk/dot.asp", Analytics),
        (Kind::Script, "static.adman.gr/adman.js", Marketing),
        (Kind::Script, "cdn.segmentify.com/1/segmentify.js", Purpose::Personalization),
        (Kind::Script, "cl.k5a.io/k5a.js", Analytics),
        (Kind::Script, "html-load.com/loader.min.js", Marketing),
        (Kind::Script, "cdn.jsdelivr.net/npm/yandex-metrica-watch/tag.js", Analytics),
        (Kind::Frame, "www.facebook.com/v2.10/plugins/like_box.php", Marketing),
    ] {
        assert_eq!(purpose(kind, address), Some(expected), "{address}");
    }
}

/// Admiral and Ad-Shield load from names that change by the week, so that only
/// what their loaders say beside the name tells them.
#[test]
fn a2_loaders_with_changing_names_are_recognised_by_the_rest() {
    let load = "t=o.createElement('script'),t.src='https://tidyword.example/v2/abc'";
    for (code, vendor) in [
        (
            format!("{load};(function(o,n){{o[n]=o[n]||function(){{}}}})(window,\"admiral\")"),
            "admiral",
        ),
        (
            format!("{load};(window, String.fromCharCode(97, 100, 109, 105, 114, 97, 108))"),
            "admiral",
        ),
        (format!("{load};JSON.parse(o.localStorage.getItem(\"_aQS01ODhG\"))"), "admiral"),
        (format!("{load};(U=j[e]).pubads();M(window,decodeURI(decodeURI('%61%2564')))"), "admiral"),
        ("document.cookie.match(\"(^|[^;]+)\\\\s*__adblocker\\\\s*=\")".to_owned(), "ad-shield"),
        ("window.AviviD=window.AviviD||{}".to_owned(), "likr"),
        ("ematics('create', 1)".to_owned(), "ematic-solutions"),
    ] {
        assert_eq!(inline(&code), [vendor], "{code}");
    }
    for code in [
        "var path = decodeURI(decodeURI(location.pathname))",
        "say('admiral', window)",
        "document.cookie.match('(^|;) ?cart=([^;]*)')",
        "document.fonts.load('1em serif')",
    ] {
        assert_eq!(inline(code), [""; 0], "{code}");
    }
}

#[test]
fn no_two_vendors_claim_the_same() {
    let mut owners: HashMap<(&str, String), String> = HashMap::new();
    let mut twice = Vec::new();
    for (_, text) in EMBEDDED {
        let file: toml::Table = text.parse().unwrap();
        for vendor in file["vendor"].as_array().unwrap() {
            let id = vendor["id"].as_str().unwrap();
            for list in ["hosts", "inline", "cookies"] {
                for rule in vendor.get(list).and_then(toml::Value::as_array).into_iter().flatten() {
                    let rule = rule.as_str().unwrap();
                    if let Some(other) = owners.insert((list, rule.to_owned()), id.to_owned()) {
                        twice.push(format!("{list} of {id} and {other}: {rule}"));
                    }
                }
            }
        }
    }
    assert_eq!(twice, Vec::<String>::new());
}
