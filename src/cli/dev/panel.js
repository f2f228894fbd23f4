/* The inspector panel of `consentry dev`. It is in no page in production. */
(() => {
'use strict';
const script = document.currentScript;
if (!script || window.top !== window) return;
const own = script.src.replace(/\/dev\/[^/]*$/, '');
const OPEN = 'consentry-dev-panel';
const STYLE = `
:host{all:initial;position:fixed;right:12px;top:50%;transform:translateY(-50%);z-index:2147483647;color-scheme:light dark;
--ink:#1b2626;--soft:#566765;--line:#d5dedd;--ground:#fff;--well:#f2f6f5;--held:#9a3412;--key:#0f5f58;
font:14px/1.45 system-ui,sans-serif;color:var(--ink)}
@media(prefers-color-scheme:dark){:host{--ink:#e2eae9;--soft:#9db0ad;--line:#34443f;--ground:#17211f;--well:#1f2b29;--held:#fdba74;--key:#7fd6c8}}
*{box-sizing:border-box}
button,a,input,summary{font:inherit;color:inherit}
button{cursor:pointer}
:focus-visible{outline:2px solid var(--key);outline-offset:2px}
.pill,.box{background:var(--ground);color:var(--ink);border:1px solid var(--line);box-shadow:0 2px 12px rgba(0,0,0,.2)}
.pill{border-radius:99px;padding:6px 14px;display:flex;gap:8px;align-items:center}
.pill b,.held{color:var(--held);font-weight:650}
.dot{width:8px;height:8px;border-radius:50%;background:var(--key)}
.box{border-radius:12px;width:min(440px,calc(100vw - 24px));max-height:min(640px,calc(100vh - 24px));display:flex;flex-direction:column}
header,footer{display:flex;gap:10px;align-items:baseline;padding:10px 14px}
header{border-bottom:1px solid var(--line)}
footer{border-top:1px solid var(--line);justify-content:space-between;color:var(--soft);font-size:13px}
h2{font-size:15px;margin:0;flex:1}
h2 small{display:block;font-weight:400;color:var(--soft);font-size:13px}
.x{border:0;background:none;font-size:20px;line-height:1;padding:2px 8px;border-radius:6px}
.body{overflow:auto;padding:12px 14px}
fieldset{border:0;margin:0 0 12px;padding:0}
legend{padding:0 0 4px;color:var(--soft);font-size:13px}
.row{display:flex;flex-wrap:wrap;gap:6px}
.row button{background:var(--well);border:1px solid var(--line);border-radius:8px;padding:5px 10px}
.row button[aria-pressed=true]{border-color:var(--key);box-shadow:inset 0 0 0 1px var(--key)}
label{display:inline-flex;gap:5px;align-items:center;margin-right:6px;padding:4px 0}
input{accent-color:var(--key);margin:0}
h3{font-size:14px;margin:14px 0 6px}
ul{list-style:none;margin:0;padding:0}
li{border:1px solid var(--line);border-radius:8px;margin:0 0 6px}
summary{padding:7px 10px;cursor:pointer;overflow-wrap:anywhere}
summary span{display:block;color:var(--soft);font-size:13px}
dl{margin:0;padding:0 10px 9px;display:grid;grid-template-columns:auto 1fr;gap:2px 10px;font-size:13px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
p{margin:6px 0;color:var(--soft)}
`;
const make = (tag, props, ...inside) => {
  const it = Object.assign(document.createElement(tag), props);
  it.append(...inside.filter((one) => one !== null && one !== undefined));
  return it;
};
const keep = (open) => {
  try { open ? sessionStorage.setItem(OPEN, '1') : sessionStorage.removeItem(OPEN); } catch { /* no storage here */ }
};
const wasOpen = () => { try { return sessionStorage.getItem(OPEN) === '1'; } catch { return false; } };
const go = (state) => {
  const url = new URL(location.href);
  const before = url.search ? url.search + '&' : '?';
  keep(open);
  url.search = before + '__consent=' + state;
  location.assign(url.href);
};

let open = wasOpen();
let shown = null;
let trouble = '';
let drawn = '';
const host = document.createElement('consentry-panel');
const root = host.attachShadow({ mode: 'open' });
const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
root.adoptedStyleSheets = [sheet];

const held = () => (shown ? shown.decisions.filter((one) => one.verdict === 'block') : []);
const passed = () => (shown ? shown.decisions.filter((one) => one.verdict !== 'block') : []);
const now = () => {
  if (!shown) return '';
  if (shown.signal === 'gpc') return 'gpc';
  if (shown.undecided) return 'undecided';
  const some = shown.granted.filter((one) => one !== 'necessary');
  return some.length === 0 ? 'refuse' : some.length === 4 ? 'all' : some.join(',');
};

const item = (one) => make('li', {}, make('details', {},
  make('summary', {}, one.what, make('span', { textContent:
    [one.name, one.purpose, one.kind, one.reason].filter(Boolean).join(' \u00b7 ') })),
  make('dl', {}, ...[
    ['Rule', one.rule ? one.rule.file + ':' + one.rule.line : 'none: nobody in the catalogue claims it'],
    ['Whose', one.owner ? one.name + ' (' + one.owner + ')' : null],
    ['What for', one.about],
    ['Asked by', one.via],
    ['Seen', 'in the ' + { html: 'page', request: 'request', response: 'answer', browser: 'browser' }[one.layer]],
    ['Exception', one.exception],
    ['Change', one.change],
  ].filter(([, text]) => text).flatMap(([name, text]) =>
    [make('dt', { textContent: name }), make('dd', { textContent: text })]))));

const states = () => {
  const row = make('div', { className: 'row' });
  for (const [state, name] of [['undecided', 'Undecided'], ['refuse', 'Refuse all'], ['all', 'Accept all'], ['gpc', 'GPC']]) {
    const button = make('button', { type: 'button', textContent: name, onclick: () => go(state) });
    button.setAttribute('aria-pressed', String(now() === state));
    button.dataset.state = state;
    row.append(button);
  }
  const boxes = ['functional', 'analytics', 'personalization', 'marketing'].map((purpose) =>
    make('input', { type: 'checkbox', value: purpose, checked: !!shown && shown.granted.includes(purpose) }));
  const apply = make('button', { type: 'button', textContent: 'Apply', onclick: () => {
    go(boxes.filter((box) => box.checked).map((box) => box.value).join(',') || 'refuse');
  } });
  apply.dataset.state = 'some';
  return [
    make('fieldset', {}, make('legend', { textContent: 'See this page as a visitor who is or did' }), row),
    make('fieldset', {}, make('legend', { textContent: 'or who granted' }), make('div', { className: 'row' },
      ...boxes.map((box) => make('label', {}, box, box.value)), apply)),
  ];
};

const list = (title, all) => {
  const heading = make('h3', { textContent: title + ' (' + all.length + ')' });
  return [heading, all.length ? make('ul', {}, ...all.map(item)) : make('p', { textContent: 'Nothing.' })];
};

const box = () => {
  const close = make('button', { type: 'button', className: 'x', textContent: '\u00d7', title: 'Close (Escape)', onclick: () => turn(false) });
  close.setAttribute('aria-label', 'Close the panel');
  const body = make('div', { className: 'body' }, ...states());
  if (trouble) body.append(make('p', { textContent: trouble }));
  body.append(...list('Held back on this page', held()), ...list('Passed', passed()));
  const link = (path, text) => make('a', { href: own + path, textContent: text });
  const it = make('section', { className: 'box' },
    make('header', {}, make('h2', {}, 'consentry dev', make('small', { textContent: shown ? shown.state : 'looking\u2026' })), close),
    body,
    make('footer', {},
      link('/dev/' + (shown ? '?exchange=' + shown.exchange : ''), 'This exchange'),
      link('/dev/', 'All exchanges'), link('/choices', 'Choices')));
  it.setAttribute('role', 'dialog');
  it.setAttribute('aria-label', 'consentry dev');
  it.addEventListener('keydown', (event) => { if (event.key === 'Escape') { event.stopPropagation(); turn(false); } });
  return it;
};

const pill = () => {
  const count = held().length;
  const it = make('button', { type: 'button', className: 'pill', onclick: () => turn(true) },
    make('span', { className: 'dot' }), 'consentry', make('b', { textContent: count ? count + ' held' : '' }));
  it.setAttribute('aria-expanded', 'false');
  it.setAttribute('aria-label', 'Open the consentry panel: ' + count + ' held back on this page');
  return it;
};

const draw = () => {
  const next = JSON.stringify([open, trouble, shown]);
  if (next === drawn) return;
  drawn = next;
  const scrolled = root.querySelector('.body')?.scrollTop ?? 0;
  const opened = [...root.querySelectorAll('details[open] summary')].map((one) => one.firstChild.textContent);
  const all = () => [...root.querySelectorAll('button,input,summary,a')];
  const focused = root.activeElement ? all().indexOf(root.activeElement) : -1;
  root.replaceChildren(open ? box() : pill());
  for (const one of root.querySelectorAll('summary')) one.parentNode.open = opened.includes(one.firstChild.textContent);
  const body = root.querySelector('.body');
  if (body) body.scrollTop = scrolled;
  if (focused >= 0) all()[focused]?.focus();
};

const turn = (to) => {
  open = to;
  keep(open);
  draw();
  root.querySelector(open ? '.x' : '.pill').focus();
  if (open) look();
};

const ask = async (query) => {
  const answer = await fetch(own + '/decisions?' + query, { cache: 'no-store', credentials: 'same-origin' });
  return answer.ok ? answer.json() : null;
};

const look = async () => {
  try {
    const page = location.pathname + location.search;
    shown = (await ask('page=' + encodeURIComponent(page)))
      ?? (await ask('exchange=' + script.dataset.consentryExchange)) ?? shown;
    trouble = shown ? '' : 'Nothing is known of this page any more: reload it.';
  } catch {
    trouble = 'The panel cannot ask what was decided: the page\u2019s own policy forbids it (connect-src), or consentry dev has ended.';
  }
  draw();
};

// After whatever takes the page over, so that it finds what its server sent.
const begin = () => setTimeout(() => {
  document.documentElement.append(host);
  draw();
  look();
  setTimeout(look, 1500);
  setInterval(() => { if (open && document.visibilityState === 'visible') look(); }, 2000);
  let left = 20;
  new MutationObserver(() => {
    if (!host.isConnected && left-- > 0) document.documentElement.append(host);
  }).observe(document.documentElement, { childList: true });
}, 100);
if (document.readyState === 'complete') begin(); else addEventListener('load', begin);
})();
