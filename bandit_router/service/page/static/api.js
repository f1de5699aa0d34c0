// Talks to the service, or reads what a saved page carries instead. Nothing leaves the host.

const saved = document.getElementById("saved");
export const frozen = saved ? JSON.parse(saved.textContent) : null;
let key = null; // a bearer key that the person typed: held in memory, gone with the page

export class Problem extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

export function useKey(text) { key = text; }

export function get(path) { return call(path); }
export function post(path, body) { return call(path, { method: "POST", body: JSON.stringify(body) }); }
export function put(path, body) { return call(path, { method: "PUT", body: JSON.stringify(body) }); }
export function remove(path) { return call(path, { method: "DELETE" }); }
export function patch(path, body) { return call(path, { method: "PATCH", body: JSON.stringify(body) }); }

async function call(path, options = {}) {
  if (frozen) {
    if (path in frozen.answers) return frozen.answers[path];
    throw new Problem(404, "This saved map does not hold that; open the live one.");
  }
  const answer = await asked(path, options);
  return answer.json();
}

async function asked(path, options = {}) {
  const headers = { "Content-Type": "application/json", ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  const problem = new Problem(answer.status, said?.error?.message || `HTTP ${answer.status}`);
  if ((answer.status === 401 || answer.status === 403) && await askForKey(problem.message)) return asked(path, options);
  throw problem;
}

// Server-sent events by fetch, since EventSource cannot carry a key. Comes back by itself.
export async function listen(handlers, say) {
  if (frozen) return;
  for (let wait = 1000; ; wait = Math.min(2 * wait, 30000)) {
    try {
      const answer = await asked("/events");
      say(true);
      wait = 1000;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) dispatch(event, handlers);
      }
    } catch (error) {
      if (error.status === 401 || error.status === 403) { say(false); return; }
    }
    say(false);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

function dispatch(text, handlers) {
  const lines = text.split("\n");
  const name = lines.find((l) => l.startsWith("event: "))?.slice(7);
  const data = lines.find((l) => l.startsWith("data: "))?.slice(6);
  if (name in handlers && data) handlers[name](JSON.parse(data));
}

let asking = null;
export function askForKey(why) {
  asking ||= new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const form = document.createElement("form");
    form.method = "dialog";
    const label = document.createElement("label");
    label.textContent = "API key (kept in this page only)";
    const input = document.createElement("input");
    input.type = "password";
    input.autocomplete = "off";
    label.append(input);
    const reason = document.createElement("p");
    reason.textContent = why;
    const ok = document.createElement("button"), no = document.createElement("button");
    ok.textContent = "Use this key";
    ok.value = "use";
    no.textContent = "Cancel";
    no.value = "cancel";
    form.append(reason, label, ok, no);
    dialog.append(form);
    dialog.setAttribute("aria-label", "API key");
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" && input.value.trim();
      if (given) key = input.value.trim();
      dialog.remove();
      asking = null;
      resolve(Boolean(given));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
