// Other JSON, of the shape that the variable `shape` gives. A text in it that is nothing but a {{placeholder}} becomes the value as it is, null
// where there is none; in other texts values are filled in. The variable `method` may be PUT.

const WHOLE = /^\{\{([^{}]{1,256})\}\}$/;
const DEFAULT = '{"type": "{{eventType}}", "data": "{{payload}}"}';

function reshaped(shape, webhook) {
  if (typeof shape === "string") {
    const whole = WHOLE.exec(shape);
    if (whole === null) return shape.replace(PLACEHOLDER, (_, path) => asText(valueAt(webhook, path.trim())));
    const value = valueAt(webhook, whole[1].trim());
    return value === undefined ? null : value;
  }
  if (Array.isArray(shape)) return shape.map((item) => reshaped(item, webhook));
  if (shape === null || typeof shape !== "object") return shape;
  // Unlike an assignment, this makes __proto__ a name like any other.
  return Object.fromEntries(Object.entries(shape).map(([name, item]) => [name, reshaped(item, webhook)]));
}

function handler(webhook) {
  let shape;
  try {
    shape = JSON.parse(variable(webhook, "shape") || DEFAULT);
  } catch (error) {
    throw new Error(`The variable shape is not JSON: ${error.message}`);
  }
  if (shape === null || typeof shape !== "object" || Array.isArray(shape)) throw new Error("The variable shape is not a JSON object.");
  webhook.payload = reshaped(shape, webhook);
  webhook.method = variable(webhook, "method") || webhook.method;
  return webhook;
}
