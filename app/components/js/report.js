// Saves the page as one HTML file: what is chosen, the figures, charts and tables, and the link.

const PARTS = {
  'h2, h3': heading,
  '.ee-box p, .ee-lesson p': (element) => [make('p', '', says(element))],
  '.ee-readout, .ee-ladder, .ee-histograms, .ee-chart, .ee-timeline, .ee-blueprint, .ee-input, .ee-tops, .maps .figures': chart,
  '.js-plotly-plot': chart,
  table: tables,
};
const STYLE = `
  body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; }
  svg { max-width: 100%; height: auto; display: block; }
  table { border-collapse: collapse; font-size: 0.9rem; margin: 0.5rem 0 1.5rem; }
  th, td { padding: 0.25rem 0.8rem; text-align: left; border-bottom: 1px solid #8886; vertical-align: top; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; }
  dd { margin: 0; overflow-wrap: anywhere; }
  a { color: inherit; overflow-wrap: anywhere; }`;

const says = (element) => element?.innerText.trim() ?? '';

function heading(element) {
  const lead = element.parentElement.matches('.ee-section') ? says(element.nextElementSibling) : '';
  return [make(element.localName, '', says(element)), ...(lead ? [make('p', '', lead)] : [])];
}

function chart(element) {
  const holder = make('div');
  holder.innerHTML = svg(element, []);
  return [holder];
}

function tables(element) {
  const rows = [...element.rows].map((row) => make('tr', '', ...[...row.cells].map(
    (cell) => make(cell.localName, '', says(cell)),
  )));
  return [make('table', '', ...(element.caption ? [make('caption', '', says(element.caption))] : []), ...rows)];
}

// A title whose part of the page has nothing but controls goes, with the sentence below it.
function drop_if_empty(title) {
  const lead = title.nextElementSibling?.matches('p') ? title.nextElementSibling : null;
  const following = (lead ?? title).nextElementSibling;
  if (following && !(following.matches('h2, h3') && following.localName <= title.localName)) return;
  lead?.remove();
  title.remove();
}

// What is chosen where one of several can be.
function choices(page) {
  const found = [];
  for (const one of page.querySelectorAll('[data-testid=stSelectbox]')) {
    const value = one.querySelector('input')?.value || says(one.querySelector('[data-baseweb=select]'));
    found.push(make('dt', '', says(one.querySelector('label'))), make('dd', '', value));
  }
  return make('dl', '', ...found);
}

function report() {
  const page = document.querySelector('.stMainBlockContainer');
  const title = says(page.querySelector('.ee-heading h1'));
  const made = document.implementation.createHTMLDocument(`Early-Exit Explorer: ${title}`);
  const charset = made.createElement('meta');
  charset.setAttribute('charset', 'utf-8');
  const colours = getComputedStyle(document.querySelector('.stApp'));
  const style = make('style', '', `${STYLE} body { color: ${colours.color}; background: ${colours.backgroundColor}; }`);
  made.head.prepend(charset);
  made.head.append(style);
  const link = make('a', '', location.href);
  link.href = location.href;
  made.body.append(
    make('h1', '', title),
    make('p', '', says(page.querySelector('.ee-heading p'))),
    make('p', '', `${new Date().toLocaleString()} · `, link),
    choices(page),
  );
  const all = Object.keys(PARTS).join(', ');
  for (const element of everywhere(page, all)) {
    if (element.parentElement?.closest(all) || !element.getClientRects().length) continue;
    const kind = Object.keys(PARTS).find((selector) => element.matches(selector));
    made.body.append(...PARTS[kind](element));
  }
  for (const title of [...made.querySelectorAll('h2, h3')].reverse()) drop_if_empty(title);
  return `<!doctype html>\n${made.documentElement.outerHTML}\n`;
}

export default function (component) {
  const { data, parentElement } = component;
  let button = parentElement.querySelector('button');
  if (!button) {
    button = make('button', 'quiet', icon('download'), data.label);
    button.type = 'button';
    button.title = data.help;
    button.onclick = () => save(report(), 'html', data.name);
    parentElement.append(button);
  }
}
