// Runs oidc-provider, a certified OpenID Connect provider. Arguments: its folder, its port, where it sends
// browsers back to, and its users as JSON: the groups of each name. It says `ready`, and runs until its input
// ends.
import { pathToFileURL } from "node:url";

const [folder, port, redirect, users] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${folder}/lib/index.js`));
const groups = JSON.parse(users);

const client = {
  client_secret: "a:secret with signs+%",
  redirect_uris: [redirect],
  response_types: ["code"],
  grant_types: ["authorization_code"],
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: "narrowgate" },
    { ...client, client_id: "by-form", token_endpoint_auth_method: "client_secret_post" },
  ],
  claims: { openid: ["sub"], profile: ["preferred_username"], groups: ["groups"] },
  scopes: ["openid", "profile", "groups"],
  pkce: { required: () => true },
  // Pages that take any password.
  features: { devInteractions: { enabled: true } },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: `subject of ${id}`, preferred_username: id, groups: groups[id] ?? [] }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.stdin.on("end", () => process.exit(0)).resume();
