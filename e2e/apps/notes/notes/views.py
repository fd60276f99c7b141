import os

from django.http import JsonResponse

from .models import Note


def notes(request):
    fields = sorted(field.name for field in Note._meta.fields)
    return JsonResponse({"fields": fields, "notes": list(Note.objects.order_by("id").values_list("text", flat=True)[:5])})


def add(request, text):
    return JsonResponse({"id": Note.objects.create(text=text).pk})


def url(request):
    return JsonResponse({"url": os.environ["DATABASE_URL"]})
