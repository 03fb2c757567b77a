import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type {
  BatchCreatePostsRequest,
  BatchGetPostsRequest,
  CreatePostRequest,
  DeletePostRequest,
  GetPostRequest,
  ListPostsRequest,
  PostService,
  UndeletePostRequest,
  UpdatePostRequest,
} from '#gen/blog/v1/post_service_pb.js';
import { invalidField } from '#src/posts/invalid-argument-error.ts';
import { toNewPost } from '#src/posts/new-post.ts';
import type { PageTokens } from '#src/posts/page-token.ts';
import type { Post } from '#src/posts/post.ts';
import { hasContent, toPostFilter } from '#src/posts/post-list.ts';
import { toContent, toMessage } from '#src/posts/post-message.ts';
import { parseOrder } from '#src/posts/post-order.ts';
import { PostDeletedError, PostNotFoundError, type PostStore, PostsTooLargeError } from '#src/posts/post-store.ts';
import { toChanges } from '#src/posts/update-mask.ts';

/**
 * What each RPC means, as post_service.proto promises it. Requests have passed the .proto's validation rules before they
 * come here; errors are the domain's own, which become codes elsewhere.
 */
export class PostServiceImpl implements ServiceImpl<typeof PostService> {
  readonly #store: PostStore;
  readonly #pageTokens: PageTokens;

  constructor(store: PostStore, pageTokens: PageTokens) {
    this.#store = store;
    this.#pageTokens = pageTokens;
  }

  async getPost({ key }: GetPostRequest, { signal }: HandlerContext) {
    const post =
      key.case === 'slug'
        ? await this.#store.getBySlug(key.value, { signal })
        : await this.#store.getById(key.value?.toLowerCase() ?? '', { signal });
    if (post === undefined) throw new PostNotFoundError([key.value ?? '']);
    return { post: toMessage(post) };
  }

  async batchGetPosts(request: BatchGetPostsRequest, { signal }: HandlerContext) {
    const ids = request.ids.map(id => id.toLowerCase());
    const found = await this.#store.getMany([...new Set(ids)], PAGE_CONTENT_MAX_BYTES, { signal });
    const messages = new Map(found.map(post => [post.id, toMessage(post)]));
    const absent = [...new Set(ids)].filter(id => !messages.has(id));
    if (absent.length > 0) throw new PostNotFoundError(absent);
    if (ids.length > found.length) requireFits(ids, found);
    return { posts: ids.flatMap(id => messages.get(id) ?? []) };
  }

  async listPosts(request: ListPostsRequest, { signal }: HandlerContext) {
    const list = { ...toPostFilter(request), order: parseOrder(request.orderBy) };
    const page = await this.#store.list(
      {
        ...list,
        after: request.pageToken === '' ? undefined : this.#pageTokens.open(request.pageToken, list),
        skip: request.skip,
        limit: Math.min(request.pageSize || PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX),
        maxContentBytes: hasContent(request.view) ? PAGE_CONTENT_MAX_BYTES : 0,
      },
      { signal },
    );
    return {
      posts: page.posts.map(toMessage),
      nextPageToken: page.next === undefined ? '' : this.#pageTokens.seal(page.next, list),
    };
  }

  async createPost(request: CreatePostRequest, { signal }: HandlerContext) {
    const { validateOnly } = request;
    const [post] = await this.#store.create([toNewPost(request, '')], { validateOnly }, { signal });
    return { post: post && toMessage(post) };
  }

  async batchCreatePosts({ requests }: BatchCreatePostsRequest, { signal }: HandlerContext) {
    const validateOnly = requests.some(request => request.validateOnly);
    const different = requests.findIndex(request => request.validateOnly !== validateOnly);
    if (different >= 0) {
      throw invalidField(
        `requests[${different}].validate_only`,
        'differs from that of other requests of the batch, which is tried or done as a whole',
      );
    }
    const requestIds = new Set<string>();
    const posts = requests.map((request, index) => {
      const post = toNewPost(request, `requests[${index}].`);
      if (post.request !== undefined && requestIds.has(post.request.id)) {
        throw invalidField(`requests[${index}].request_id`, 'is that of another request of the batch');
      }
      if (post.request !== undefined) requestIds.add(post.request.id);
      return post;
    });
    const created = await this.#store.create(posts, { validateOnly }, { signal });
    return { posts: created.map(toMessage) };
  }

  async updatePost({ post: message, updateMask, validateOnly }: UpdatePostRequest, { signal }: HandlerContext) {
    if (message === undefined || message.id === '') {
      throw invalidField('post.id', 'is required');
    }
    const id = message.id.toLowerCase();
    const changes = toChanges(updateMask, toContent(message, 'post'), id);
    const etag = message.etag || undefined;
    const post = await this.#store.update(id, changes, { validateOnly, etag }, { signal });
    return { post: toMessage(post) };
  }

  async deletePost({ id, etag, allowMissing }: DeletePostRequest, { signal }: HandlerContext) {
    try {
      return { post: toMessage(await this.#store.delete(id.toLowerCase(), etag || undefined, { signal })) };
    } catch (error) {
      if (allowMissing && (error instanceof PostNotFoundError || error instanceof PostDeletedError)) return {};
      throw error;
    }
  }

  async undeletePost({ id, etag }: UndeletePostRequest, { signal }: HandlerContext) {
    return { post: toMessage(await this.#store.undelete(id.toLowerCase(), etag || undefined, { signal })) };
  }
}

/** The store has counted the content of each post once, and the answer has it as often as it was asked for. */
function requireFits(ids: readonly string[], posts: readonly Post[]): void {
  const sizes = new Map(posts.map(post => [post.id, Buffer.byteLength(post.content)]));
  const bytes = ids.reduce((sum, id) => sum + (sizes.get(id) ?? 0), 0);
  if (bytes > PAGE_CONTENT_MAX_BYTES) throw new PostsTooLargeError(PAGE_CONTENT_MAX_BYTES);
}

const PAGE_SIZE_DEFAULT = 20;
const PAGE_SIZE_MAX = 100;
/** Leaves room for the other fields of 100 posts within 4 MiB, the most that gRPC clients take by default. */
const PAGE_CONTENT_MAX_BYTES = 3 * 1024 * 1024;
