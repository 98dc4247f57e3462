// Saves what a chart shows, as the page draws it: as SVG, PNG or CSV, with its caption and the link.

async function png(source) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(source)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  canvas.width = SHARP * image.width;
  canvas.height = SHARP * image.height;
  canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); });
}

// ---- the numbers behind a figure of Plotly's

const plain = (label) => String(label ?? '').replace(/<[^>]*>/g, ' ').trim();

function rows(figure) {
  const axis = (name) => plain(figure._fullLayout[`${name}axis`]?.title?.text) || name;
  const found = [];
  for (const trace of figure._fullData) {
    if (trace.type === 'sankey') {
      const { source, target, value } = trace.link;
      const label = (index) => plain(trace.node.label[index]);
      value.forEach((count, index) => {
        found.push({ from: label(source[index]), to: label(target[index]), count });
      });
    } else if (trace.type === 'heatmap') {
      trace.z.forEach((line, row) => line.forEach((count, column) => {
        found.push({ [axis('y')]: trace.y[row], [axis('x')]: trace.x[column], value: count });
      }));
    } else {
      const known = trace.x ?? trace.y ?? [];
      Array.from(known).forEach((_, index) => {
        const row = { series: plain(trace.name) };
        for (const name of ['x', 'y']) {
          if (!trace[name]) continue;
          row[axis(name)] = trace[name][index];
          const error = trace[`error_${name}`];
          if (error?.visible && error.array) {
            row[`${axis(name)}, up to`] = trace[name][index] + error.array[index];
            row[`${axis(name)}, from`] = trace[name][index] - (error.arrayminus ?? error.array)[index];
          }
        }
        found.push(row);
      });
    }
  }
  return found;
}

function cell(value) {
  let text = Number.isNaN(value) ? '' : String(value ?? '');
  if (/^\s*[=+\-@]/.test(text) && !Number.isFinite(Number(text))) text = `'${text}`; // no formula
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(found) {
  const names = [...new Set(found.flatMap(Object.keys))];
  const table = [names, ...found.map((row) => names.map((name) => row[name]))];
  return `${table.map((row) => row.map(cell).join(',')).join('\n')}\n`;
}

// ---- the button

export default function (component) {
  const { data, parentElement } = component;
  const find = () => everywhere(document.body, data.chart).next().value;
  const make_file = {
    svg: (chart) => svg(chart, [data.caption, location.href]),
    png: (chart) => png(svg(chart, [data.caption, location.href])),
    csv: (chart) => data.csv ?? csv(rows(chart)),
  };
  let menu = parentElement.querySelector('details');
  if (!menu) {
    menu = make('details');
    parentElement.append(menu);
    menu.onkeydown = (event) => {
      if (event.key !== 'Escape') return;
      menu.open = false;
      menu.querySelector('summary').focus();
    };
  }
  const summary = make('summary', '', icon('download'), data.label);
  summary.title = data.help;
  const offered = Object.entries(make_file).filter(([kind]) => kind !== 'csv' || data.csv !== '');
  const kinds = offered.map(([kind, made]) => {
    const button = make('button', '', kind.toUpperCase());
    button.type = 'button';
    button.setAttribute('aria-label', `${data.label}: ${data.caption}, ${kind.toUpperCase()}`);
    button.onclick = async () => {
      const chart = find();
      if (!chart) return;
      save(await made(chart), kind, data.name);
      menu.open = false;
      summary.focus();
    };
    return button;
  });
  menu.replaceChildren(summary, make('span', '', ...kinds));
}
