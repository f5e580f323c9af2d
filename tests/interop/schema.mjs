// The schema of the service at URL through graphql-js, as code generators and editors take it: from its text and by introspection, printed
// and introspected again. Ends with 1 unless both come to the same.
import { buildClientSchema, buildSchema, getIntrospectionQuery, introspectionFromSchema, lexicographicSortSchema, printSchema } from 'graphql';

const { URL: url, TOKEN: token } = process.env;
if (!url || !token) throw new Error('set URL and TOKEN');

const text = await (await fetch(new URL('/schema.graphql', url))).text();
const query = getIntrospectionQuery({ schemaDescription: true, specifiedByUrl: true, inputValueDeprecation: true });
const headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
const { data, errors } = await (await fetch(url, { method: 'POST', headers, body: JSON.stringify({ query }) })).json();
if (errors) throw new Error(JSON.stringify(errors));

const printed = [buildSchema(text), buildClientSchema(data)].map((schema) => {
  introspectionFromSchema(schema);
  return printSchema(lexicographicSortSchema(schema));
});
console.log(`schema: ${printed[0] === printed[1] ? 'its text and introspection say the same' : 'FAILED: its text and introspection differ'}`);
process.exit(printed[0] === printed[1] ? 0 : 1);
