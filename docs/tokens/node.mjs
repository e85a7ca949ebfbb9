// Tokens for customers, signed with EdDSA by jose: npm install jose@6
//
//   node node.mjs keys             makes shop.pem, which you keep, and jwks.json for every node
//   node node.mjs token SUBJECT    prints a token
import { readFile, writeFile } from 'node:fs/promises'
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, SignJWT } from 'jose'

const [verb, subject] = process.argv.slice(2)
const alg = 'EdDSA'
const kid = 'shop-1'

if (verb === 'keys') {
  const { publicKey, privateKey } = await generateKeyPair(alg, { crv: 'Ed25519', extractable: true })
  await writeFile('shop.pem', await exportPKCS8(privateKey), { mode: 0o600, flag: 'wx' })
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }
  await writeFile('jwks.json', JSON.stringify({ keys: [jwk] }))
} else if (verb === 'token') {
  const key = await importPKCS8(await readFile('shop.pem', 'utf8'), alg)
  const token = await new SignJWT()
    .setProtectedHeader({ alg, typ: 'JWT', kid })
    .setIssuer('https://shop.example')
    .setAudience('firstcome')
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime('10m')
    .sign(key)
  console.log(token)
}
