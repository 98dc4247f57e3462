// The server may be behind a proxy: only the browser knows the address that others can open.
function address(query) {
  const link = new URL(location.href);
  link.search = query;
  link.hash = '';
  return link.href;
}

async function copy(link) {
  try {
    await navigator.clipboard.writeText(link);
    return true;
  } catch {
    return false; // not allowed, or a page without https, which has no clipboard
  }
}

export default function (component) {
  const { data, parentElement } = component;
  let root = parentElement.querySelector('.copy');
  if (!root) {
    root = make('div', 'copy');
    parentElement.append(root);
  }
  const label = make('span', '', data.label);
  const button = make('button', '', icon('link'), label);
  button.type = 'button';
  button.title = data.help;
  const says = make('span', '');
  says.setAttribute('role', 'status');
  root.replaceChildren(button, says);
  button.onclick = async () => {
    const link = address(data.query);
    if (await copy(link)) {
      label.textContent = data.copied;
      setTimeout(() => { label.textContent = data.label; }, 2500);
      return;
    }
    const field = make('input');
    field.readOnly = true;
    field.value = link;
    says.replaceChildren(make('label', '', data.by_hand, field));
    field.select();
  };
}
