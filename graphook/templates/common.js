// What the built-in templates share: reading a payload, making texts safe and short, and filling in {{placeholders}}.

// What turns the direction of a text.
const turns = (code) => (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || code === 0x200e || code === 0x200f;

// At most `limit` UTF-16 units; each character goes through `escape`, so that no escape is cut in two. A cut text ends with an ellipsis.
function cut(text, limit, escape) {
  let kept = "";
  let room = "";
  for (const character of String(text)) {
    const code = character.codePointAt(0);
    let shown = escape ? escape(character) : character;
    if (code >= 0xd800 && code <= 0xdfff) shown = "\ufffd";
    else if (turns(code)) shown = "";
    else if (code !== 10 && (code < 32 || (code >= 127 && code < 160))) shown = " ";
    if (kept.length + shown.length > limit) return room + "\u2026";
    kept += shown;
    if (kept.length < limit) room = kept;
  }
  return kept;
}

// A value as people read it: texts as they are, everything else as JSON; nothing for what is not there.
function asText(value) {
  if (value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

// The payload as names and values: objects within it become dotted names, down to `depth`. `left` counts those beyond `most`.
function fieldsOf(payload, most, depth = 3) {
  if (payload === null || typeof payload !== "object") return { found: [["payload", asText(payload)]], left: 0 };
  const found = [];
  let left = 0;
  const walk = (value, path, deep) => {
    const inner = value !== null && typeof value === "object" && !Array.isArray(value) ? Object.entries(value) : [];
    if (inner.length > 0 && deep > 0) {
      for (const [name, item] of inner) walk(item, path === "" ? name : `${path}.${name}`, deep - 1);
    } else if (found.length < most) found.push([path, asText(value)]);
    else left += 1;
  };
  for (const [name, item] of Object.entries(payload)) walk(item, name, depth - 1);
  return { found, left };
}

// What a path names: `eventType`, `payload`, or a place in the payload such as `data.items.0.price`; undefined where there is nothing.
function valueAt(webhook, path) {
  if (path === "eventType") return webhook.eventType;
  const steps = path.split(".");
  if (steps[0] === "payload") steps.shift();
  let value = webhook.payload;
  for (const step of steps) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, step)) return undefined;
    value = value[step];
  }
  return value;
}

const PLACEHOLDER = /\{\{([^{}]{1,256})\}\}/g;

// The template with the values in place of its {{placeholders}}, each cut and escaped; at most `limit` units of it. What surrounds them stays.
// Empty when there is nothing to see in it.
function filled(template, webhook, limit, escape) {
  const known = new Map();
  let text = "";
  let end = 0;
  for (const found of template.matchAll(PLACEHOLDER)) {
    if (text.length > limit) break;
    const path = found[1].trim();
    if (!known.has(path)) known.set(path, cut(asText(valueAt(webhook, path)), 1000, escape));
    text += template.slice(end, found.index) + known.get(path);
    end = found.index + found[0].length;
  }
  return cut(text + template.slice(end), limit).trim();
}

// A variable of the endpoint's transformation; undefined when it is missing or empty.
function variable(webhook, name) {
  const value = webhook.env[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}
