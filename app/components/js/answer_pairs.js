const MARKS = { a: '● A', b: '■ B' };

function side(row, letter, opens, pick) {
  const said = row[letter];
  const cell = make(opens ? 'button' : 'div', 'side');
  const answer = make('span', '', make('b', '', said.answer));
  if (said.right === true) answer.append(' ', make('i', 'right', '✓'));
  if (said.right === false) answer.append(' ', make('i', 'wrong', '✗'));
  const mark = make('i', `only-phone mark-${letter}`, `${MARKS[letter]} `);
  cell.append(answer, make('small', '', mark, `${said.exit} · ${said.probability}`));
  if (opens) {
    const verdict = { true: ', right', false: ', wrong' }[String(said.right)] ?? '';
    cell.type = 'button';
    cell.dataset.pick = `${row.number} ${letter}`;
    cell.title = `Open ${row.name} in the Playground as ${letter.toUpperCase()} decides it`;
    cell.setAttribute(
      'aria-label', `${cell.title}: ${said.answer}${verdict}, ${said.exit}, ${said.probability}`,
    );
    cell.onclick = () => pick([row.number, letter]);
  }
  return make('td', '', cell);
}

function line(row, opens, pick) {
  const words = make('span', '', make('small', '', row.name), make('b', '', row.truth));
  const image = make('div', 'image');
  if (row.image) {
    const picture = make('img');
    picture.src = row.image;
    picture.alt = '';
    image.append(picture);
  }
  image.append(words);
  const head = make('th', 'image-cell', image);
  head.scope = 'row';
  const change = make('td', 'change', row.change);
  return make('tr', '', head, side(row, 'a', opens, pick), side(row, 'b', opens, pick), change);
}

function heading(...inside) {
  const cell = make('th', '', ...inside);
  cell.scope = 'col';
  return cell;
}

export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  const pick = (value) => setTriggerValue('picked', value);
  const held = parentElement.querySelector('.pairs :focus')?.dataset.pick;
  const table = make(
    'table',
    'pairs',
    make('thead', '', make(
      'tr', '',
      heading('Image'),
      heading(make('i', 'mark-a', MARKS.a[0]), MARKS.a.slice(1)),
      heading(make('i', 'mark-b', MARKS.b[0]), MARKS.b.slice(1)),
      heading('From A to B'),
    )),
    make('tbody', '', ...data.rows.map((row) => line(row, data.opens, pick))),
  );
  table.setAttribute('aria-label', data.label);
  parentElement.querySelector('.pairs')?.remove();
  parentElement.append(table);
  if (held) table.querySelector(`[data-pick="${held}"]`)?.focus({ preventScroll: true });
}
