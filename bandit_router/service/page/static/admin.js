// Administration: the kill switch, models and prices, API keys. What is done here is done at once.

import { askForKey, get, patch, post, put, remove, useKey } from "./api.js";
import { $, el, tableOf } from "./dom.js";
import { ago, money, whole } from "./numbers.js";

const CONFIRM = "every request needs a key"; // what the service wants to hear before the first key
const SCOPES = { route: "may ask", feedback: "may judge its own decisions", metrics: "may read the metrics", admin: "may do all of this page" };
let draw = () => {}, anyKey = true;

const said = (text) => { $("admin-said").textContent = text; };

// Does it, says so, shows what there is then; the focus stays where it was.
async function act(what, done) {
  const label = document.activeElement?.getAttribute("aria-label");
  try {
    await what();
    said(done);
    await draw();
  } catch (error) { said(error.message); }
  if (label) document.querySelector(`[aria-label="${CSS.escape(label)}"]`)?.focus();
}

export async function admin(named) {
  draw = () => admin(named);
  try {
    const [{ models }, killed, { keys }] = await Promise.all([get("/models"), get("/kill-switch"), get("/keys")]);
    killSwitch(models, killed);
    $("models").replaceChildren(tableOf("Models and prices", ["Model", "Input price", "Output price", "Believed quality", "Available", ""], models.map((m) => modelRow(m, named))));
    showKeys(keys);
    $("administration").hidden = false;
  } catch (error) { said(error.message); }
}

function button(text, onclick, label) { return el("button", { type: "button", onclick, "aria-label": label }, text); }

function field(form, name) { return form.elements.namedItem(name); }

function number(input) { return input.value === "" ? null : Number(input.value); }

// -- kill switch ---------------------------------------------------------------------------------

function killSwitch(models, killed) {
  if (killed.on) {
    const why = killed.reason ? ` (${killed.reason})` : "";
    $("kill").replaceChildren(
      el("strong", { class: "bad" }, `Every prompt goes to ${killed.model}, since ${ago(killed.since)}${why}.`),
      button("Let the router decide again", () => act(() => remove("/kill-switch"), "The strategies decide again.")));
    return;
  }
  const choice = el("select", { "aria-label": "Model that is given everything" }, ...models.map((m) => el("option", { value: m.name }, m.name)));
  const kill = () => confirm(`Give every prompt to ${choice.value}?`) &&
    act(() => put("/kill-switch", { model: choice.value, reason: "from the overview page" }), `Every prompt goes to ${choice.value}.`);
  $("kill").replaceChildren(el("span", {}, "Off: the router decides. Give every prompt to"), choice, button("Switch on", kill));
}

// -- models and prices ---------------------------------------------------------------------------

function modelRow(model, named) {
  const { name } = model, path = `/models/${encodeURIComponent(name)}`;
  const price = (key, label) => el("input", { type: "number", min: 0, step: "any", value: model[key] ?? "", "aria-label": `${label} price of ${name}` });
  const into = price("input_usd_per_m", "Input"), out = price("output_usd_per_m", "Output");
  const on = el("input", { type: "checkbox", checked: model.available, "aria-label": `${name} is available`,
    onchange: (e) => act(() => patch(path, { available: e.target.checked }), `${name} is ${e.target.checked ? "available" : "left out"} now.`) });
  const save = button("Save", () => act(() => patch(path, { input_usd_per_m: number(into), output_usd_per_m: number(out) }), `${name} has new prices.`), `Save the prices of ${name}`);
  const drop = button("Remove", () => confirm(`Remove ${name}? What it has shown stays in the log.`) && act(() => remove(path), `${name} is removed.`), `Remove ${name}`);
  const { quality } = model.expected;
  return [named(name), into, out, quality === null ? "unknown" : `${quality.toFixed(3)} (${model.quality_interval.map((v) => v.toFixed(2)).join("–")})`, on, el("span", { class: "row" }, save, drop)];
}

$("new-model").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target, name = field(form, "name").value.trim();
  act(async () => {
    await post("/models", { name, input_usd_per_m: number(field(form, "input")), output_usd_per_m: number(field(form, "output")) });
    form.reset();
  }, `${name} has joined: it starts from the level of all models.`);
});

// -- API keys ------------------------------------------------------------------------------------

function showKeys(keys) {
  anyKey = keys.length > 0;
  $("no-key").hidden = anyKey;
  if (!anyKey) $("scopes").querySelector("[value=admin]").checked = true;
  const rows = [...keys.filter((k) => k.revoked === null), ...keys.filter((k) => k.revoked !== null)];
  $("keys").replaceChildren(anyKey ? tableOf("API keys", ["Name", "Scopes", "Limits", "Spent", "Made", ""], rows.map(keyRow)) : "");
}

function keyRow(key) {
  const limits = [
    key.requests_per_minute && `${whole(key.requests_per_minute)} requests a minute`,
    key.usd_per_day && `${money(key.usd_per_day)} a day`, key.usd_total && `${money(key.usd_total)} in all`];
  const revoke = () => confirm(`Revoke the key ${key.name}? Whoever uses it is refused from now on.`) && act(() => remove(`/keys/${key.id}`), `The key ${key.name} is revoked.`);
  return [el("span", { title: key.id, class: key.revoked ? "gone" : null }, key.name), key.scopes.join(", "), limits.filter(Boolean).join(", ") || "none",
    `${money(key.spent_usd)}, today ${money(key.spent_today_usd)}`, ago(key.created),
    key.revoked ? `revoked ${ago(key.revoked)}` : button("Revoke", revoke, `Revoke the key ${key.name}`)];
}

$("scopes").append(...Object.entries(SCOPES).map(([scope, may]) =>
  el("label", {}, el("input", { type: "checkbox", name: "scopes", value: scope, checked: scope === "route" || scope === "feedback" }), el("span", {}, el("b", {}, scope), ` ${may}`))));

$("new-key").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target, name = field(form, "name").value.trim();
  const scopes = [...form.querySelectorAll("[name=scopes]:checked")].map((box) => box.value);
  if (!anyKey && !confirm("This is the first key: from now on every request needs one, and clients without one are refused. Make it?")) return;
  act(async () => {
    const made = await post("/keys", {
      name, scopes, requests_per_minute: number(field(form, "rate")), usd_per_day: number(field(form, "day")), usd_total: number(field(form, "total")),
      ...(anyKey ? {} : { confirm: CONFIRM }),
    });
    if (!anyKey) useKey(made.key);
    form.reset();
    $("made").hidden = false;
    $("made-name").textContent = name;
    $("made-key").value = made.key;
  }, `The key ${name} is made.`);
});

$("copy-key").addEventListener("click", async () => {
  $("made-key").select(); // where the clipboard is out of reach, the keyboard is not
  try { await navigator.clipboard.writeText($("made-key").value); said("Copied."); } catch { said("Selected: copy it with the keyboard."); }
});
$("forget-key").addEventListener("click", () => { $("made").hidden = true; $("made-key").value = ""; });

$("use-key").addEventListener("click", async () => {
  if (await askForKey("Administration needs a key of scope admin, once there are keys.")) dispatchEvent(new Event("key"));
});
