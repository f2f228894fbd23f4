//! What the vendors' scripts do once a page has loaded them, in a few lines
//! each: set a cookie in the page's name, tell the vendor, change the page.

/// The style sheet of a font: loading it asks a second host for the font.
pub(super) const FONT_STYLE: &str = "@font-face{font-family:Spectral;font-display:swap;\
    src:url(https://fonts.gstatic.com/s/spectral/v13/spectral.woff2) format('woff2')}";

/// The script at that address, when the stand-ins know it.
pub(super) fn of(host: &str, path: &str) -> Option<&'static str> {
    SCRIPTS
        .iter()
        .find(|script| script.host == host && path.starts_with(script.path))
        .map(|s| s.code)
}

/// What a frame shows.
pub(super) fn document(host: &str) -> &'static str {
    match host {
        "www.youtube.com" | "www.youtube-nocookie.com" => VIDEO,
        "www.google.com" => MAP,
        _ => "<!doctype html><title>A vendor's frame</title>",
    }
}

const VIDEO: &str = r#"<!doctype html><title>Video</title>
<body style="margin:0;height:100vh;display:grid;place-items:center;background:#1f2a24;color:#fff;font:1rem sans-serif">
<p style="text-align:center"><span style="display:inline-block;background:#c22;border-radius:12px;padding:.6em 1.4em;font-size:1.5rem">&#9654;</span><br><br>The video host's player would be here.</p>
<img alt="" width="1" height="1" style="position:absolute" src="https://googleads.g.doubleclick.net/pagead/id.gif">"#;

const MAP: &str = r#"<!doctype html><title>Map</title>
<body style="margin:0;height:100vh;background:linear-gradient(115deg,transparent 46%,#fff 46% 52%,transparent 52%),linear-gradient(20deg,transparent 60%,#fff 60% 63%,transparent 63%),linear-gradient(160deg,#e3e9d3 70%,#bcd6e2 70%)">
<p style="position:absolute;top:38%;left:46%;margin:0;font:600 1rem sans-serif;color:#9c2f1b"><span style="font-size:2rem">&#9679;</span> Kettle &amp; Leaf</p>"#;

struct Script {
    host: &'static str,
    path: &'static str,
    code: &'static str,
}

const SCRIPTS: &[Script] = &[
    Script {
        host: "www.googletagmanager.com",
        path: "/gtm.js",
        code: "document.cookie='_gcl_au=1.1.1000000001.1700000000;path=/;max-age=7776000';
new Image().src='https://googleads.g.doubleclick.net/pagead/viewthroughconversion/100000001/?url='+encodeURIComponent(location.href);
var s=document.createElement('script');s.src='https://www.googleadservices.com/pagead/conversion_async.js';document.head.appendChild(s);",
    },
    Script {
        host: "www.googletagmanager.com",
        path: "/gtag/js",
        code: "document.cookie='_ga=GA1.1.1000000001.1700000000;path=/;max-age=34560000';
(function(){var q=window.dataLayer=window.dataLayer||[],push=q.push;
function take(a){if(!a||a[0]!=='event'&&a[0]!=='config')return;
var name=a[0]==='config'?'page_view':a[1],more=a[2]||{},hit=new Image();
if(more.event_callback)hit.onload=hit.onerror=function(){more.event_callback('G-DEMO')};
hit.src='https://www.google-analytics.com/g/collect?v=2&tid=G-DEMO&en='+encodeURIComponent(name)}
Array.prototype.slice.call(q).forEach(take);
q.push=function(){Array.prototype.forEach.call(arguments,take);return push.apply(q,arguments)};})();",
    },
    Script {
        host: "connect.facebook.net",
        path: "/en_US/fbevents.js",
        code: "document.cookie='_fbp=fb.1.1700000000000.1000000001;path=/;max-age=7776000';
(function(){var f=window.fbq;if(!f)return;
f.callMethod=function(call,what){if(call==='track')new Image().src='https://www.facebook.com/tr/?id=100000000000001&ev='+encodeURIComponent(what)};
(f.queue||[]).splice(0).forEach(function(a){f.callMethod.apply(f,a)});})();",
    },
    Script {
        host: "static.hotjar.com",
        path: "/c/hotjar-",
        code: "document.cookie='_hjSessionUser_1=demo;path=/;max-age=31536000';
navigator.sendBeacon('https://in.hotjar.com/api/v2/client/sites/1000001/visit-data','{}');",
    },
    Script {
        host: "www.clarity.ms",
        path: "/tag/",
        code: "document.cookie='_clck=demo;path=/;max-age=31536000';
navigator.sendBeacon('https://z.clarity.ms/collect','{}');",
    },
    Script {
        host: "analytics.tiktok.com",
        path: "/i18n/pixel/events.js",
        code: "document.cookie='_ttp=demo;path=/;max-age=33696000';
fetch('https://analytics.tiktok.com/api/v2/pixel',{method:'POST',mode:'no-cors',body:'{}'}).catch(function(){});",
    },
    Script {
        host: "s.pinimg.com",
        path: "/ct/core.js",
        code: "document.cookie='_pin_unauth=demo;path=/;max-age=31536000';
new Image().src='https://ct.pinterest.com/v3/?event=pagevisit&tid=2600000000001';",
    },
    Script {
        host: "bat.bing.com",
        path: "/bat.js",
        code: "document.cookie='_uetsid=demo;path=/;max-age=86400';
window.UET=function(o){this.push=function(){};new Image().src='https://bat.bing.com/action/0?ti='+o.ti+'&evt=pageLoad'};",
    },
    Script {
        host: "cdn.segment.com",
        path: "/analytics.js/v1/",
        code: "document.cookie='ajs_anonymous_id=demo;path=/;max-age=31536000';
try{localStorage.setItem('ajs_anonymous_id','\"demo\"')}catch(e){}
fetch('https://api.segment.io/v1/p',{method:'POST',mode:'no-cors',body:'{}'}).catch(function(){});",
    },
    Script {
        host: "snap.licdn.com",
        path: "/li.lms-analytics/",
        code: "document.cookie='li_fat_id=demo;path=/;max-age=2592000';
new Image().src='https://px.ads.linkedin.com/collect/?v=2&fmt=gif&pid='+window._linkedin_partner_id;",
    },
    Script {
        host: "dynamic.criteo.com",
        path: "/js/ld/ld.js",
        code: "document.cookie='cto_bundle=demo;path=/;max-age=34128000';
(function(){var f=document.createElement('iframe');f.src='https://gum.criteo.com/syncframe?origin=onetag';
f.width=f.height=0;f.style.display='none';
function add(){document.body.appendChild(f)}document.body?add():addEventListener('DOMContentLoaded',add);})();",
    },
    Script {
        host: "static.klaviyo.com",
        path: "/onsite/js/",
        code: "document.cookie='__kla_id=demo;path=/;max-age=63072000';
fetch('https://a.klaviyo.com/client/events/',{method:'POST',mode:'no-cors',body:'{}'}).catch(function(){});",
    },
    Script {
        host: "cdn.optimizely.com",
        path: "/js/",
        code: "document.cookie='optimizelyEndUserId=demo;path=/;max-age=15552000';
navigator.sendBeacon('https://logx.optimizely.com/v1/events','{}');
addEventListener('DOMContentLoaded',function(){var b=document.querySelector('[data-experiment]');
if(b)b.textContent='Only today: pick yours';});",
    },
    Script {
        host: "widget.intercom.io",
        path: "/widget/",
        code: "document.cookie='intercom-device-id-kldemo01=demo;path=/;max-age=23328000';
fetch('https://api-iam.intercom.io/messenger/web/ping',{method:'POST',mode:'no-cors',body:'{}'}).catch(function(){});
(function(){var b=document.createElement('div');b.id='intercom-container';b.textContent='Chat';
b.style.cssText='position:fixed;right:20px;bottom:20px;padding:14px 20px;border-radius:28px;background:#1f6feb;color:#fff;font:600 15px sans-serif;box-shadow:0 4px 16px #0004';
document.body.appendChild(b);})();",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_is_found_at_its_own_address() {
        for script in SCRIPTS {
            assert_eq!(of(script.host, script.path), Some(script.code), "{}", script.host);
        }
    }
}
