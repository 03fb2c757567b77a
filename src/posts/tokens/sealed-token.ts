import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

/** Seals bytes into tokens for clients: encrypted and authenticated (AES-256-GCM), in URL-safe base64. */
export class TokenSealer {
  readonly #key: Uint8Array;

  /**
   * @param secret 32 characters or more, the same on every instance.
   * @param purpose a token for one purpose is invalid for any other.
   */
  constructor(secret: string, purpose: string) {
    this.#key = new Uint8Array(hkdfSync('sha256', secret, '', purpose, 32));
  }

  /** @param boundTo needed again to open the token, which does not contain it. */
  seal(plain: Uint8Array, boundTo: Uint8Array = NOTHING): string {
    const nonce = randomBytes(NONCE_LENGTH);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce).setAAD(boundTo);
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64url');
  }

  /** Undefined if the token was altered, or its secret, purpose or binding differs. */
  open(token: string, boundTo: Uint8Array = NOTHING): Buffer | undefined {
    const sealed = Buffer.from(token, 'base64url');
    // Decoding is lenient. Only the text that was issued is valid.
    if (sealed.length < NONCE_LENGTH + TAG_LENGTH || sealed.toString('base64url') !== token) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, NONCE_LENGTH), {
      authTagLength: TAG_LENGTH,
    })
      .setAAD(boundTo)
      .setAuthTag(sealed.subarray(-TAG_LENGTH));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_LENGTH, -TAG_LENGTH)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}

const NOTHING = new Uint8Array(0);
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
