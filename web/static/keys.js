// The keyboard. Views mark what keys act on: data-search is the field of "/",
// data-row what j and k walk through (links or buttons, so Enter needs no
// code), data-prev and data-next the pages of [ and ].

// keys and what they do, for the help.
export const keys = [
  ['/', 'search or filter'],
  ['j, k', 'next, previous row'],
  ['Enter', 'open the row'],
  ['[, ]', 'previous, next page'],
  ['Esc', 'close a dialog, leave a field'],
  ['?', 'this help'],
];

const first = (selector) => [...document.querySelectorAll(selector)].find((e) => e.offsetParent !== null);

// walk moves the focus by so many rows, from the row that has it or holds what
// has it; without one it begins at the top.
function walk(by) {
  const rows = [...document.querySelectorAll('[data-row]')].filter((e) => e.offsetParent !== null);
  if (rows.length === 0) return;
  const at = rows.indexOf(document.activeElement?.closest('[data-row]'));
  const row = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + by))];
  row.focus();
  row.scrollIntoView({block: 'nearest'});
}

// listen acts on keys until the function that it returns is called. help opens
// the help. Keys that are typed into a field, or while a dialog is open, are not
// for us.
export function listen(help) {
  const actions = {
    '/': () => first('[data-search]')?.focus(),
    'j': () => walk(1),
    'k': () => walk(-1),
    '[': () => first('[data-prev]')?.click(),
    ']': () => first('[data-next]')?.click(),
    '?': help,
  };
  const pressed = (event) => {
    const field = event.target.closest?.('input, textarea, select');
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (field) {
      if (event.key === 'Escape') field.blur();
      return;
    }
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  addEventListener('keydown', pressed);
  return () => removeEventListener('keydown', pressed);
}
