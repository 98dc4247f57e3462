export default function (component) {
  const { data, setTriggerValue, parentElement } = component;
  let tally = parentElement.querySelector('.tally');
  if (!tally) {
    tally = make('div', 'tally', '');
    tally.setAttribute('role', 'group');
    parentElement.append(tally);
  }
  tally.setAttribute('aria-label', data.label);
  const root = parentElement.activeElement ?? parentElement.getRootNode().activeElement;
  const held = [...tally.children].indexOf(root);
  tally.replaceChildren(...data.cards.map((card) => {
    const button = make('button', '', '');
    button.type = 'button';
    button.title = card.title;
    button.setAttribute('aria-pressed', String(card.chosen));
    const count = make('span', 'count', card.count);
    count.append(make('small', '', card.share));
    const bar = make('span', 'bar', '');
    const fill = make('i', card.width ? '' : 'empty', '');
    fill.style.width = `${100 * card.width}%`;
    bar.append(fill);
    button.append(make('span', 'name', card.name), count, make('span', 'note', card.note), bar);
    button.onclick = () => setTriggerValue('picked', card.value);
    return button;
  }));
  if (held >= 0) tally.children[held]?.focus({ preventScroll: true });
}
