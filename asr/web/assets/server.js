// Addresses, keys and errors of the server.

const KEY = 'glossa.key';

// url is an address below that of the page.
export function url(path) {
  return new URL(path, document.baseURI);
}

// key returns the API key of this tab, '' where there is none.
export function key() {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return kept;
  }
}

let kept = ''; // where the browser gives no storage

// setKey keeps a key as long as the tab is open.
export function setKey(value) {
  kept = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // see kept
  }
}

// headers are those that a request carries.
export function headers() {
  return key() ? { Authorization: `Bearer ${key()}` } : {};
}

// KeyNeeded says that the server refused a request for want of a key, or of a right one.
export class KeyNeeded extends Error {
  constructor() {
    super(key() ? 'The server does not take this key.' : 'This server asks for an API key.');
  }
}

// getJSON returns what the server answers at an address.
export async function getJSON(path) {
  const response = await fetch(url(path), { headers: headers() });
  if (response.status === 401 || response.status === 403) throw new KeyNeeded();
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

// reason returns the message of an answer that is an error.
async function reason(response) {
  return messageOf(await response.text(), response.status);
}

// messageOf finds the message in the body of an error.
export function messageOf(body, status) {
  try {
    const message = JSON.parse(body).error?.message;
    if (message) return message;
  } catch {
    // a proxy's page, say
  }
  return `The server answered with status ${status}.`;
}

// streamURL is the address of a live session. A browser cannot give a websocket headers, so a token goes with the
// address: one that lasts for a short time, or the key where the server makes none.
export async function streamURL() {
  const address = url('v1/stream');
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  if (!key()) return address;
  const response = await fetch(url('v1/tokens'), { method: 'POST', headers: headers() });
  if (response.status === 401 || response.status === 403) throw new KeyNeeded();
  address.searchParams.set('token', response.ok ? (await response.json()).token : key());
  return address;
}
