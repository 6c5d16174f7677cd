"""A login as the documentation of Django has it: the views of django.contrib.auth, the
middleware of a new project, and state in request.session."""

import os
import sys

import django
from django.conf import settings

port, folder = sys.argv[1:]
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(folder, "db.sqlite3")}},
    DEBUG=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    LOGIN_REDIRECT_URL="/me",
    LOGOUT_REDIRECT_URL="/login",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # a test needs no slow one
    ROOT_URLCONF=__name__,
    SECRET_KEY="change me",
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {
            "registration/login.html": '<form method="post">{% csrf_token %}{{ form }}<button>Log in</button></form>',
        })]},
    }],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, LogoutView
from django.core.management import execute_from_command_line
from django.http import JsonResponse
from django.shortcuts import redirect
from django.urls import path


def me(request):
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    kept = {field: request.session.get(field) for field in ("theme", "language")}
    return JsonResponse({"username": request.user.username, **kept})


def change(request):
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    for field in ("theme", "language"):
        if field in request.POST:
            request.session[field] = request.POST[field]
    return redirect("/me")


urlpatterns = [
    path("login", LoginView.as_view()),
    path("logout", LogoutView.as_view()),
    path("me", me),
    path("settings", change),
]

execute_from_command_line(["manage.py", "migrate", "--verbosity", "0"])
User.objects.create_user("alice", password="wonderland")
User.objects.create_user("bob", password="cheshire-cat")
execute_from_command_line(["manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"])
