// Tables that a click on a heading sorts, names of languages, and the list of confusions.
const collator = new Intl.Collator('en', { numeric: true });

for (const table of document.querySelectorAll('table.sortable')) {
  const body = table.tBodies[0];
  const inOrder = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const number = heading.classList.contains('number');
    const button = element('button', { type: 'button', class: 'sort' }, ...heading.childNodes);
    heading.append(button);
    button.addEventListener('click', () => {
      // First the way that tells more, then the other, then as it was.
      const ways = number ? ['descending', 'ascending', null] : ['ascending', 'descending', null];
      const way = ways[(ways.indexOf(heading.getAttribute('aria-sort')) + 1) % ways.length];
      for (const h of headings) h.removeAttribute('aria-sort');
      if (way) heading.setAttribute('aria-sort', way);
      body.replaceChildren(...(way ? sorted(inOrder, column, number, way) : inOrder));
    });
  });
}

// sorted puts cells without a value last.
function sorted(rows, column, number, way) {
  const sign = way === 'ascending' ? 1 : -1;
  const value = (row) => {
    const cell = row.cells[column];
    if (!number) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  return rows.map((row) => ({ row, value: value(row) })).sort((a, b) => {
    if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
    return sign * (number ? a.value - b.value : collator.compare(a.value, b.value));
  }).map(({ row }) => row);
}

for (const cell of document.querySelectorAll('th[data-lang]')) {
  const name = languageName(cell.dataset.lang);
  if (name) cell.append(' ', element('small', {}, name));
  // Where there are no words to count, the rate of characters is the one to look at.
  if (isUnspaced(cell.dataset.lang)) cell.parentElement.classList.add('by-character');
}

// The first confusions are shown, and the others when they are asked for.
const firstConfusions = 24;
const confusions = [...document.querySelectorAll('.confusions li')];
if (confusions.length > firstConfusions) {
  const more = byID('more-confusions');
  const hide = (hidden) => confusions.slice(firstConfusions).forEach((li) => { li.hidden = hidden; });
  let open = false;
  const tell = () => {
    hide(!open);
    more.textContent = open ? 'Show fewer' : `Show all ${count(confusions.length)}`;
    more.setAttribute('aria-expanded', open);
  };
  more.addEventListener('click', () => {
    open = !open;
    tell();
  });
  more.hidden = false;
  tell();
}
