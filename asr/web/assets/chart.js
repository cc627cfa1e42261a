// A line chart of the last ten minutes, with axes, a pointer that reads values, and a table of the same.
const SVG = 'http://www.w3.org/2000/svg';

// SPAN is what a chart shows, in milliseconds. MARGINS of the plot in it, in pixels.
const SPAN = 600000;
const MARGINS = { left: 44, right: 8, top: 8, bottom: 20 };

// ROWS is the number of rows of the table: one a minute.
const ROWS = 10;

function svg(name, attributes, parent) {
  const e = document.createElementNS(SVG, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  parent?.append(e);
  return e;
}

function html(name, className, text, parent) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text) e.textContent = text;
  parent?.append(e);
  return e;
}

// ceiling is the least 1, 2, 4, 6 or 8 times a power of ten that is not below a value.
export function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 6, 8, 10].map((x) => x * power).find((x) => x >= value * (1 - 1e-9));
}

export class Chart {
  // series are {name, column, unit} of at most two lines, unit what a column is divided by, least is the least top of the axis, format writes a value.
  constructor(parent, { title, unit, series, least, format }) {
    Object.assign(this, { title, unit, series, least, format });
    const figure = html('figure', 'chart', '', parent);
    const caption = html('figcaption', '', '', figure);
    html('strong', '', title, caption);
    html('span', 'unit', unit, caption);
    const legend = html('span', 'legend', '', caption);
    this.values = series.map((s, i) => {
      const item = html('span', i === 1 ? 'second' : '', '', legend);
      html('i', '', '', item).setAttribute('aria-hidden', 'true');
      item.append(`${s.name} `);
      return html('b', '', '–', item);
    });
    this.svg = svg('svg', { role: 'img', 'aria-label': title }, figure);
    this.table(figure);
    this.svg.addEventListener('pointermove', (e) => this.point(e));
    this.svg.addEventListener('pointerleave', () => {
      this.at = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.svg);
  }

  table(figure) {
    const details = html('details', '', '', figure);
    html('summary', '', 'Table', details);
    const table = html('table', '', '', details);
    html('caption', 'hidden', `${this.title}, ${this.unit}, a row a minute`, table);
    const head = html('tr', '', '', html('thead', '', '', table));
    for (const name of ['Ago', ...this.series.map((s) => s.name)]) html('th', name === 'Ago' ? '' : 'number', name, head).scope = 'col';
    this.body = html('tbody', '', '', table);
    this.details = details;
    details.addEventListener('toggle', () => this.fill());
  }

  // update takes the history's columns.
  update(history) {
    this.history = history;
    this.draw();
    this.fill();
  }

  // point reads the values below a pointer.
  point(e) {
    const { left, width } = this.svg.getBoundingClientRect();
    const share = (e.clientX - left - MARGINS.left) / (width - MARGINS.left - MARGINS.right);
    this.at = share < 0 || share > 1 ? null : share;
    this.draw();
  }

  // of is the values of a line.
  of({ column, unit = 1 }) {
    return this.history[column].map((v) => v / unit);
  }

  draw() {
    const { history } = this;
    const width = this.svg.clientWidth;
    const height = this.svg.clientHeight;
    if (!history || history.time.length === 0 || width === 0) return;
    const times = history.time;
    const end = times.at(-1);
    const top = ceiling(Math.max(this.least, ...this.series.flatMap((s) => this.of(s))));
    const x = (t) => MARGINS.left + (1 - (end - t) / SPAN) * (width - MARGINS.left - MARGINS.right);
    const y = (v) => height - MARGINS.bottom - v / top * (height - MARGINS.top - MARGINS.bottom);
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.axes(top, x, y, end, width);
    this.series.forEach((s, i) => {
      const values = this.of(s);
      const points = times.map((t, k) => `${x(t).toFixed(1)},${y(values[k]).toFixed(1)}`).join('L');
      if (i === 0) svg('path', { class: 'area', d: `M${x(times[0]).toFixed(1)},${y(0)}L${points}L${x(end)},${y(0)}Z` }, this.svg);
      svg('path', { class: i === 1 ? 'line second' : 'line', d: `M${points}` }, this.svg);
    });
    this.read(times, end, x, height);
  }

  axes(top, x, y, end, width) {
    for (const v of [0, top / 2, top]) {
      svg('line', { class: 'grid', x1: MARGINS.left, x2: width - MARGINS.right, y1: y(v), y2: y(v) }, this.svg);
      const label = svg('text', { class: 'label', x: MARGINS.left - 8, y: y(v) + 4, 'text-anchor': 'end' }, this.svg);
      label.textContent = this.format(v).replace(/(\.\d*?)0+(\D*)$/, '$1$2').replace(/\.$/, '');
    }
    for (const minutes of [10, 5, 0]) {
      const anchor = { 10: 'start', 5: 'middle', 0: 'end' }[minutes];
      const text = svg('text', { class: 'label', x: x(end - minutes * 60000), y: y(0) + 16, 'text-anchor': anchor }, this.svg);
      text.textContent = minutes === 0 ? 'now' : `−${minutes} min`;
    }
  }

  // read shows the newest values, or those below the pointer.
  read(times, end, x, height) {
    let k = times.length - 1;
    if (this.at != null) {
      const t = end - (1 - this.at) * SPAN;
      k = times.findIndex((u) => u >= t);
      if (k < 0) k = times.length - 1;
      svg('line', { class: 'cursor', x1: x(times[k]), x2: x(times[k]), y1: MARGINS.top, y2: height - MARGINS.bottom }, this.svg);
    }
    const told = this.series.map((s, i) => {
      const value = this.format(this.of(s)[k]);
      this.values[i].textContent = value;
      return `${s.name} ${value}`;
    });
    if (this.at == null) this.svg.setAttribute('aria-label', `${this.title}, ${this.unit}: now ${told.join(', ')}`);
  }

  // fill writes the table, where it is open.
  fill() {
    if (!this.details.open || !this.history) return;
    const { time } = this.history;
    const rows = [];
    for (let m = 0; m < ROWS; m++) {
      const k = time.findLastIndex((t) => t <= time.at(-1) - m * 60000);
      if (k < 0) break;
      const row = document.createElement('tr');
      html('td', '', m === 0 ? 'now' : `${m} min`, row);
      for (const s of this.series) html('td', 'number', this.format(this.of(s)[k]), row);
      rows.push(row);
    }
    this.body.replaceChildren(...rows);
  }
}
