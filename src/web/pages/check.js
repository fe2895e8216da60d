// The check page: tries every way to the node, one after the other, and has the result as text for a support ticket.

import { element, format, onToken, showProblem, streamOfPage, token, write } from '/page.js';
import { WAYS, attempt, report, verdict } from '/reach.js';

const stream = streamOfPage('check', 'watch');
const body = element('ways');
let all = [];
let running = false;

const cell = (row, text) => { row.append(Object.assign(document.createElement('td'), { textContent: text })); };

/** One row: a mark in words, so that nothing depends on colour. */
function draw(way, tried) {
  const row = document.createElement('tr');
  row.dataset.result = tried?.result ?? 'trying';
  cell(row, way.name);
  cell(row, { works: 'Works', silent: 'No answer', 'not offered': 'Not offered', refused: 'Refused' }[tried?.result] ?? 'Trying …');
  for (const value of [tried?.packetMs, tried?.connectedMs, tried?.mediaMs]) cell(row, format.ms(value));
  cell(row, tried ? (tried.via ?? tried.why) : '');
  return row;
}

async function run() {
  if (running) return;
  running = true;
  all = [];
  element('again').disabled = element('copy').disabled = true;
  showProblem(null);
  write('verdict', 'Each way is tried alone, for six seconds at most.');
  body.replaceChildren();
  for (const way of WAYS) {
    const row = draw(way);
    body.append(row);
    const tried = await attempt(way, { stream, token: token.get });
    // The node's own server is not reached over UDP: said only of another that the operator named.
    if (way.relay === 'udp' && tried.result === 'not offered') { row.remove(); continue; }
    all.push(tried);
    row.replaceWith(draw(way, tried));
    if (tried.result === 'refused') {
      // It would be refused in the same way for each.
      showProblem(tried.error);
      break;
    }
  }
  write('verdict', verdict(all));
  const about = { node: location.origin, stream, at: new Date(), browser: navigator.userAgent };
  element('report').value = report(all, about);
  element('again').disabled = element('copy').disabled = false;
  running = false;
}

element('copy').addEventListener('click', async () => {
  const place = element('report');
  place.select();
  // Without the permission, or on a page without HTTPS: what is selected is copied the old way.
  const copied = await navigator.clipboard?.writeText(place.value).then(() => true, () => false) ?? false;
  write('copied', copied || document.execCommand('copy') ? 'Copied.' : 'Not copied: press Ctrl-C, the text is selected.');
});
element('again').addEventListener('click', run);
onToken(run);
run();

/** For tests and for the curious. */
window.corecast = { get running() { return running; }, get all() { return all; }, get report() { return element('report').value; } };
