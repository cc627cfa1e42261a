// The dialog that asks for an API key.
import { key, setKey } from './server.js';

const $ = (id) => document.getElementById(id);
let then = null;

// askKey opens the dialog. run is called when a key was given.
export function askKey(text, run) {
  then = run;
  $('key-note').textContent = `${text} It stays in this tab until it is closed.`;
  $('key').value = key();
  if (!$('key-dialog').open) $('key-dialog').showModal();
  $('key').select();
}

// bindKey makes the dialog work. changed is called with each new key that nothing waits for.
export function bindKey(changed) {
  $('key-open').addEventListener('click', () => askKey('The key of this server’s operator.', null));
  $('key-cancel').addEventListener('click', () => $('key-dialog').close());
  $('key-form').addEventListener('submit', (e) => {
    e.preventDefault();
    setKey($('key').value.trim());
    $('key-dialog').close();
    changed();
    if (then && then !== changed) then();
    then = null;
  });
}
