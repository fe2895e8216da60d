// What the pages share: figures as text, charts, the stream's name, the token, and problems a person can act on.

export const element = (id) => document.getElementById(id);

const DASH = '–';
const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** Numbers as text; a dash where there is none. */
export const format = {
  size: ({ width, height } = {}) => (width ? `${width} × ${height}` : DASH),
  codec: (name) => ({ H264: 'H.264', H265: 'H.265' })[name] ?? (name || DASH),
  rate(bits) {
    if (!(bits > 0)) return DASH;
    if (bits >= 1e9) return `${(bits / 1e9).toFixed(2)} Gbit/s`;
    return bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
  },
  number: (value, digits = 0) => (Number.isFinite(value) ? (digits ? value.toFixed(digits) : grouped.format(value)) : DASH),
  ms: (value) => (Number.isFinite(value) ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : DASH),
  share: (value) => (Number.isFinite(value) ? `${(100 * value).toFixed(value > 0 && value < 0.1 ? 2 : 0)} %` : DASH),
  time(seconds) {
    const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60];
    return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
  },
};

/** Writes text where it changed: what did not change is not read out again by a screen reader. */
export function write(target, text) {
  const node = typeof target === 'string' ? element(target) : target;
  if (node.textContent !== text) node.textContent = text;
}

/** Writes `{ label: value }` into a definition list, touching only what changed. */
export function show(list, figures) {
  for (const [label, value] of Object.entries(figures)) {
    let cell = list.querySelector(`dd[data-label="${label}"]`);
    if (!cell) {
      const term = document.createElement('dt');
      term.textContent = label;
      cell = document.createElement('dd');
      cell.dataset.label = label;
      list.append(term, cell);
    }
    write(cell, value);
  }
}

/** A line of the last values over a filled area, drawn into an `<svg class="spark">` from nought to the largest. */
export class Spark {
  #values = [];
  #points;
  #most;
  #area;
  #line;

  /** `points` values fill the width; the top is the largest of them, or `most` where the scale is fixed. */
  constructor(svg, { points = 60, most } = {}) {
    this.#points = points;
    this.#most = most;
    svg.setAttribute('viewBox', `0 0 ${points - 1} 100`);
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('aria-hidden', 'true');
    const path = (name) => {
      const made = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      made.setAttribute('class', name);
      svg.append(made);
      return made;
    };
    [this.#area, this.#line] = [path('area'), path('line')];
  }

  /** One value more; what is no number is drawn as nought. */
  push(value) {
    this.#values.push(Number.isFinite(value) ? value : 0);
    if (this.#values.length > this.#points) this.#values.shift();
    // Room above, so that a steady value is a line and not a full box.
    const top = (this.#most ?? Math.max(...this.#values, Number.MIN_VALUE)) * 1.25;
    const from = this.#points - this.#values.length;
    const at = this.#values.map((each, index) => `${from + index} ${(98 - (96 * each) / top).toFixed(1)}`);
    this.#line.setAttribute('d', at.length > 1 ? `M${at.join('L')}` : '');
    this.#area.setAttribute('d', at.length > 1 ? `M${from} 100L${at.join('L')}L${this.#points - 1} 100Z` : '');
  }
}

/** What the node takes for a stream's name. */
const STREAM_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;

/** The shareable address of a page about a stream: `/watch/demo`. A name that the node would refuse stays a query. */
const addressOf = (page, name) => (STREAM_NAME.test(name) ? `/${page}/${name}` : `/${page}.html?stream=${encodeURIComponent(name)}`);

/**
 * The stream this page is about, from the path (`/watch/demo`) or from `?stream=`. Fills in the title, the heading, the
 * link to the other page, and the shareable address where the page was opened by the other one.
 */
export function streamOfPage(page, otherPage) {
  const name = location.pathname.split('/')[2] || new URLSearchParams(location.search).get('stream') || 'demo';
  write('name', name);
  document.title = `${name} · ${document.title}`;
  element('other').href = addressOf(otherPage, name);
  const address = addressOf(page, name);
  if (STREAM_NAME.test(name) && location.pathname !== address) history.replaceState(null, '', address);
  return name;
}

const TOKEN = 'corecast-token';

/** A token for as long as the tab lives: session storage, never a URL, which ends up in logs and histories. */
export const token = {
  get() { try { return sessionStorage.getItem(TOKEN) ?? ''; } catch { return ''; } },
  set(text) { try { sessionStorage.setItem(TOKEN, text.trim()); } catch { /* asked for again then */ } },
};

/** Shows what is wrong and what to do; nothing for null. Asks for a token where one would help. */
export function showProblem(error) {
  const place = element('problem');
  place.hidden = !error;
  const asks = error?.status === 401 || (error?.status === 403 && error.code !== 'origin_not_allowed');
  const field = element('token-form');
  if (field) field.hidden = !asks;
  const text = error ? [error.message, error.hint ?? ''] : ['', ''];
  if (place.dataset.text === text.join('\n')) return;
  place.dataset.text = text.join('\n');
  const [what, hint] = [document.createElement('b'), document.createElement('span')];
  [what.textContent, hint.textContent] = text;
  place.replaceChildren(what, hint);
}

/** Calls back with the token that was typed in. */
export function onToken(use) {
  element('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    token.set(element('token').value);
    element('token-form').hidden = true;
    use();
  });
}
